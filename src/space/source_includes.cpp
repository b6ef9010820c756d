#include "space/source_includes.h"

#include <fmt/format.h>

#include <sstream>
#include <string_view>

#include "core/file.h"

namespace lathe {

Result<std::string> WithIncludes(const std::string& source, const std::string& name, const std::filesystem::path& folder,
                                 const std::filesystem::path& prelude_dir) {
  constexpr std::string_view kBegin = "#include \"";
  std::istringstream lines(source);
  std::string whole;
  int number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    if (line.compare(0, kBegin.size(), kBegin) != 0) {
      whole.append(line).append("\n");
      continue;
    }
    const std::string file = line.substr(kBegin.size(), line.find('"', kBegin.size()) - kBegin.size());
    std::error_code ignored;
    const bool own = std::filesystem::exists(folder / file, ignored);
    Result<std::string> text = ReadFile((own ? folder : prelude_dir) / file);
    if (!text) return text.error().In(fmt::format("include '{}' in line {} of '{}'", file, number, name));
    whole += fmt::format("#line 1 \"{}{}\"\n{}\n#line {} \"{}\"\n", own ? "" : "prelude/", file, *text, number + 1, name);
  }
  return whole;
}

}  // namespace lathe
