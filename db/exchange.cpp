#include "db/exchange.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

#include "core/file.h"
#include "core/system_error.h"

namespace lathe {

const char* ToString(LogFormat format) {
  switch (format) {
    case LogFormat::kNative:
      return "native";
    case LogFormat::kAutoTvm:
      return "autotvm";
    case LogFormat::kKernelTuner:
      return "kernel_tuner";
  }
  return "unknown";
}

std::optional<LogFormat> ParseLogFormat(const std::string& text) {
  for (const LogFormat format : {LogFormat::kNative, LogFormat::kAutoTvm, LogFormat::kKernelTuner})
    if (text == ToString(format)) return format;
  return std::nullopt;
}

nlohmann::ordered_json ToJson(const ImportReport& report) {
  nlohmann::ordered_json lines = nlohmann::ordered_json::array();
  for (const SkippedLine& line : report.first_skipped) lines.push_back({{"line", line.line}, {"reason", line.reason}});
  return {{"added", report.added}, {"duplicates", report.duplicates}, {"skipped", report.skipped}, {"first_skipped", std::move(lines)}};
}

namespace {

// By the names that each format puts near its beginning.
std::optional<LogFormat> Recognise(std::istream& in) {
  std::string head(4096, '\0');
  in.read(head.data(), static_cast<std::streamsize>(head.size()));
  head.resize(static_cast<size_t>(in.gcount()));
  in.clear();
  in.seekg(0);
  if (head.find("\"kind\"") < head.find('\n')) return LogFormat::kNative;
  if (head.find("\"device_name\"") != std::string::npos || head.find("\"tune_params_keys\"") != std::string::npos)
    return LogFormat::kKernelTuner;
  if (head.find("\"input\"") != std::string::npos || head.find("\"i\"") != std::string::npos) return LogFormat::kAutoTvm;
  return std::nullopt;
}

}  // namespace

Result<ImportReport> ImportFile(TuningLog& log, const std::filesystem::path& path, std::optional<LogFormat> format,
                                const ImportOptions& options) {
  const std::string doing = fmt::format("import '{}'", path.string());
  std::error_code failure;
  if (std::filesystem::is_directory(path, failure)) return Error{ErrorCode::kInvalidInput, doing + ": it is a folder"};
  errno = 0;
  std::ifstream in(path, std::ios::binary);
  if (!in) return Error{CodeOfErrno(errno), fmt::format("{}: it cannot be opened: {}", doing, std::strerror(errno != 0 ? errno : EIO))};
  if (!format) format = Recognise(in);
  if (!format)
    return Error{ErrorCode::kInvalidInput,
                 doing + ": it looks like none of the formats native, autotvm, kernel_tuner; name one with --format"};
  Result<ImportReport> report = *format == LogFormat::kNative    ? ImportNative(log, in, options)
                                : *format == LogFormat::kAutoTvm ? ImportAutoTvm(log, in, options)
                                                                 : ImportKernelTuner(log, in, options);
  if (!report) return report.error().In(doing);
  return report;
}

Result<int64_t> ExportFile(TuningLog& log, const LogFilter& filter, LogFormat format, const std::filesystem::path& path) {
  const std::string doing = fmt::format("export to '{}'", path.string());
  // Beside it first: a failed export must not leave half a file under the name of a whole one.
  const std::filesystem::path beside = path.string() + ".part";
  std::error_code failure;
  Result<int64_t> written = [&]() -> Result<int64_t> {
    errno = 0;
    std::ofstream out(beside, std::ios::binary | std::ios::trunc);
    if (!out) return Error{ErrorCode::kUnavailable, fmt::format("the file cannot be made: {}", std::strerror(errno != 0 ? errno : EIO))};
    return format == LogFormat::kNative    ? ExportNative(log, filter, out)
           : format == LogFormat::kAutoTvm ? ExportAutoTvm(log, filter, out)
                                           : ExportKernelTuner(log, filter, out);
  }();
  if (written) std::filesystem::rename(beside, path, failure);
  if (!written || failure) {
    std::error_code ignored;
    std::filesystem::remove(beside, ignored);
    return written ? Error{ErrorCode::kUnavailable, doing + ": " + failure.message()} : written.error().In(doing);
  }
  return written;
}

}  // namespace lathe
