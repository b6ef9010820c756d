// Sysfs trees as boards show them, made by hand after the kernel's documentation and the boards' manuals: no such board was at hand.
#pragma once

#include <string>

#include "core/file.h"

namespace lathe::testing {

class BoardTree {
 public:
  BoardTree() : dir_(*TempDir::Create("board")) {}

  const std::filesystem::path& root() const { return dir_.path(); }
  void Write(const std::string& file, const std::string& text) {
    std::filesystem::create_directories((root() / file).parent_path());
    (void)WriteFile(root() / file, text + "\n");
  }

  // JetPack 4: milliwatts in a file of their own.
  void AddIioRail(const std::string& device, int iio, int channel, const std::string& label, int milliwatts);
  // JetPack 5 and up: millivolts and milliamperes.
  void AddHwmonRail(const std::string& device, int hwmon, int channel, const std::string& label, int millivolts, int milliamperes);

  void MakeTx2();
  void MakeXavierNx();
  void MakeAgxXavier();
  void MakeAgxOrin();
  void MakeOrinNano();
  void MakeAtlasHost();  // thermal zones and clocks, no rails
  void MakeServer();     // RAPL

 private:
  TempDir dir_;
};

}  // namespace lathe::testing
