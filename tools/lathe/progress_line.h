// ProgressLine: what a running tuner shows: one line rewritten in place on a terminal, one line now and then elsewhere.
#pragma once

#include <chrono>
#include <functional>
#include <string>

#include "search/progress.h"

namespace lathe {

class ProgressLine : public ProgressObserver {
 public:
  // On standard error, so that standard output stays the result.
  using Words = std::function<std::string(const TuneProgress&)>;
  explicit ProgressLine(Words words = Text);
  ~ProgressLine() override;
  void OnProgress(const TuneProgress& progress) override;
  void Show(const std::string& text);  // at once, whatever was shown last
  void Clear();                        // removes the line from a terminal

  static std::string Text(const TuneProgress& progress);

 private:
  Words words_;
  bool terminal_;
  std::chrono::steady_clock::time_point last_{};
};

}  // namespace lathe
