#include "measure/launch_list.h"

#include <sstream>

namespace lathe {
namespace {

constexpr size_t kMaxArguments = 64;

template <typename T>
bool ReadSome(std::istream& in, size_t count, std::vector<T>& values) {
  values.resize(count);
  for (T& value : values) in >> value;
  return static_cast<bool>(in);
}

}  // namespace

std::string LaunchLine(const KernelLaunch& launch) {
  std::ostringstream line;
  line << (launch.prepares ? "prepare " : "launch ") << launch.kernel << ' ' << launch.dynamic_local_bytes << ' ' << launch.global.size();
  for (const uint64_t size : launch.global) line << ' ' << size;
  for (const uint64_t size : launch.local) line << ' ' << size;
  line << ' ' << launch.arguments.size();
  for (const int64_t argument : launch.arguments) line << ' ' << argument;
  line << '\n';
  return line.str();
}

bool ParseLaunches(const std::string& text, std::vector<KernelLaunch>& launches, uint64_t* device) {
  std::istringstream in(text);
  for (std::string word; in >> word;) {
    if (word == "device") {
      uint64_t number = 0;
      if (!(in >> number)) return false;
      if (device != nullptr) *device = number;
      continue;
    }
    KernelLaunch launch;
    launch.prepares = word == "prepare";
    if (!launch.prepares && word != "launch") return false;
    size_t dimensions = 0, count = 0;
    in >> launch.kernel >> launch.dynamic_local_bytes >> dimensions;
    if (!in || dimensions < 1 || dimensions > 3) return false;
    if (!ReadSome(in, dimensions, launch.global) || !ReadSome(in, dimensions, launch.local)) return false;
    if (!(in >> count) || count > kMaxArguments || !ReadSome(in, count, launch.arguments)) return false;
    launches.push_back(std::move(launch));
  }
  return true;
}

}  // namespace lathe
