// A table for people: columns as wide as they need be, numbers to the right.
#pragma once

#include <string>
#include <vector>

namespace lathe {

class Table {
 public:
  explicit Table(std::vector<std::string> header) : rows_{std::move(header)} {}
  void Add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  // Columns in which every cell below the header starts like a number are set to the right.
  std::string Text() const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

// "12.3 us", "1.23 ms": three digits; "-" for what is not finite.
std::string FormatSeconds(double seconds);
std::string FormatQuantity(double value, const char* unit);   // likewise of any unit: "5.20 mJ"
bool AddsUp(const char* unit);                                // tasks' values make a sum: joules times seconds do not
std::string FormatRate(double per_second, const char* unit);  // "12.3 GFLOP/s"
std::string FormatSpan(double seconds);                       // "42s", "3m10s", "1h02m"
std::string FormatTime(int64_t unix_ms);                      // "2026-01-31 12:00"

}  // namespace lathe
