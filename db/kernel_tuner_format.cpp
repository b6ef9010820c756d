// Kernel Tuner's cache files: one kernel, one device, one problem size in a JSON object whose "cache" maps "v1,v2,…" to what was measured.
//
//   {"schema_version": "1.0.0", "device_name": D, "kernel_name": K, "problem_size": […], "tune_params_keys": [P, …], "tune_params": {P: [v,
//   …]},
//    "objective": "time", "cache": {"16,2": {P: 16, …, "time": ms or the name of a failure, "times": [ms, …], "compile_time": ms,
//    "verification_time": ms, "benchmark_time": ms, "timestamp": …}, …}}
//
// Times are milliseconds there, seconds here. The file is appended to while tuning, so it may lack its last brackets or half an entry: it
// is read up to the last whole one. Entries pass one at a time; only the file's text is held. It says nothing of the kernel's source, the
// driver or the compiler, so imported rows carry the template "kernel_tuner" of version "unversioned".
#include <fmt/format.h>

#include <chrono>
#include <cmath>
#include <istream>
#include <ostream>
#include <set>
#include <sstream>

#include "db/compact_value.h"
#include "db/exchange.h"
#include "db/foreign_json.h"
#include "db/import_lines.h"
#include "db/measurement_json.h"

namespace lathe {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kTemplate = "kernel_tuner";
constexpr const char* kUnversioned = "unversioned";
constexpr double kOldFailureTime = 1e19;  // before failures had names, their time was 1e20

// "2022-05-18 12:34:56.789+00:00" as milliseconds since 1970; 0 when it is not that.
int64_t UnixMs(const std::string& text) {
  int year = 0, month = 0, day = 0, hour = 0, minute = 0, zone_hour = 0, zone_minute = 0;
  double second = 0;
  char sign = '+';
  const int read = std::sscanf(text.c_str(), "%d-%d-%d%*1[ T]%d:%d:%lf%c%d:%d", &year, &month, &day, &hour, &minute, &second, &sign,
                               &zone_hour, &zone_minute);
  if (read < 6) return 0;
  const std::chrono::year_month_day date{std::chrono::year(year), std::chrono::month(static_cast<unsigned>(month)),
                                         std::chrono::day(static_cast<unsigned>(day))};
  if (!date.ok()) return 0;
  int64_t minutes = std::chrono::duration_cast<std::chrono::minutes>(std::chrono::sys_days(date).time_since_epoch()).count();
  minutes += hour * 60 + minute;
  if (read >= 8) minutes += (sign == '-' ? 1 : -1) * (zone_hour * 60 + (read == 9 ? zone_minute : 0));
  return minutes * 60000 + std::llround(second * 1000);
}

std::string Timestamp(int64_t unix_ms) {
  const std::chrono::sys_time<std::chrono::milliseconds> time{std::chrono::milliseconds(unix_ms)};
  const auto midnight = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date{midnight};
  const auto in_day = (time - midnight).count();
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}+00:00", static_cast<int>(date.year()), static_cast<unsigned>(date.month()),
                     static_cast<unsigned>(date.day()), in_day / 3600000, in_day / 60000 % 60, in_day / 1000 % 60, in_day % 1000);
}

struct Failure {
  MeasureStatus status;
  const char* name;
};
constexpr Failure kFailures[] = {{MeasureStatus::kInvalidConfig, "InvalidConfig"},
                                 {MeasureStatus::kBuildError, "CompilationFailedConfig"},
                                 {MeasureStatus::kLaunchError, "RuntimeFailedConfig"}};

const char* FailureName(MeasureStatus status) {
  if (status == MeasureStatus::kBuildTimeout) return "CompilationFailedConfig";
  for (const Failure& failure : kFailures)
    if (failure.status == status) return failure.name;
  return "RuntimeFailedConfig";
}

double MsOf(const Json& entry, const char* name) {
  const auto found = entry.find(name);
  return found != entry.end() && found->is_number() ? found->get<double>() : 0;
}

// The cache's header, as far as entries need it.
struct Header {
  std::string kernel;
  Json problem_size;
  std::vector<std::string> parameters;
  Target target;
  Json lathe = Json::object();  // what our own export adds
};

Header ReadHeader(const Json& fields) {
  Header header;
  header.kernel = fields.at("kernel_name").get<std::string>();
  header.problem_size = fields.value("problem_size", Json(nullptr));
  header.parameters = fields.at("tune_params_keys").get<std::vector<std::string>>();
  header.target.backend = "external";
  header.target.architecture = "unknown";
  header.target.name = fields.at("device_name").get<std::string>();
  header.target.fingerprint["measured_by"] = "kernel_tuner";
  header.lathe = fields.value("lathe", Json::object());
  return header;
}

Result<Measurement> MeasurementOf(const Header& header, const Json& entry) {
  Measurement m;
  m.candidate.workload.operator_name = header.kernel;
  if (header.lathe.contains("workload")) {
    Result<Workload> workload = WorkloadFromJson(nlohmann::json(header.lathe["workload"]));
    if (!workload) return workload.error();
    m.candidate.workload = *std::move(workload);
  } else {
    Result<Value> size = CompactValue(header.problem_size);
    if (!size) return size.error().In("problem_size");
    m.candidate.workload.attributes.emplace_back("problem_size", *std::move(size));
  }
  m.candidate.template_name = header.lathe.value("template", kTemplate);
  m.candidate.template_hash = header.lathe.value("template_hash", kUnversioned);
  for (const std::string& name : header.parameters) {
    const Json& json = entry.at(name);
    Result<Value> value = json.is_string() && !header.lathe.empty() ? Result<Value>(Value(json.get<std::string>())) : CompactValue(json);
    if (!value) return value.error().In(name);
    m.candidate.config.emplace_back(name, *std::move(value));
  }
  const Json& time = entry.at("time");
  if (time.is_number() && time.get<double>() < kOldFailureTime) {
    if (const auto times = entry.find("times"); times != entry.end() && times->is_array() && !times->empty())
      for (const Json& ms : *times) m.seconds.push_back(ms.get<double>() / 1000);
    else
      m.seconds.push_back(time.get<double>() / 1000);
  } else {
    m.status = MeasureStatus::kLaunchError;
    m.message = time.is_string() ? time.get<std::string>() : "no time";
    for (const Failure& failure : kFailures)
      if (m.message == failure.name) m.status = failure.status;
    if (entry.contains("lathe_status")) {
      const std::optional<MeasureStatus> status = ParseMeasureStatus(entry["lathe_status"].get<std::string>());
      if (!status) return Error{ErrorCode::kInvalidInput, fmt::format("no status is called {}", Dump(entry["lathe_status"]))};
      m.status = *status;
      m.message = entry.value("lathe_message", "");
    }
  }
  m.build_seconds = MsOf(entry, "compile_time") / 1000;
  m.run_seconds = (MsOf(entry, "verification_time") + MsOf(entry, "benchmark_time")) / 1000;
  if (const auto timestamp = entry.find("timestamp"); timestamp != entry.end() && timestamp->is_string())
    m.finished_unix_ms = UnixMs(timestamp->get<std::string>());
  if (Status sound = CheckMeasurement(m); !sound) return sound.error();
  return m;
}

// The text, closed where Kernel Tuner had not come to close it. Empty when it cannot be read at all.
std::string Closed(std::string text, bool& lost_an_entry) {
  if (NestedTooDeeply(text)) return {};
  text = WithoutBareNonNumbers(text);
  if (Json::accept(text)) return text;
  const auto closed = [](std::string open) {
    while (!open.empty() && (std::isspace(static_cast<unsigned char>(open.back())) != 0 || open.back() == ',')) open.pop_back();
    return open + "}}";
  };
  const std::string whole_entries = closed(text);
  for (const size_t brackets : {2, 1})
    if (const std::string whole = whole_entries.substr(0, whole_entries.size() - 2 + brackets); Json::accept(whole)) return whole;
  // The last entry is half written: back to the end of the one before, or to an empty cache.
  lost_an_entry = true;
  if (const size_t end = text.rfind("},"); end != std::string::npos)
    if (const std::string whole = closed(text.substr(0, end + 1)); Json::accept(whole)) return whole;
  return {};
}

int64_t LineOf(const std::string& text, const std::string& key) {
  const size_t at = text.find(fmt::format("\"{}\"", key));
  return at == std::string::npos ? 0 : 1 + std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(at), '\n');
}

}  // namespace

Result<ImportReport> ImportKernelTuner(TuningLog& log, std::istream& in, const ImportOptions& options) {
  std::ostringstream content;
  content << in.rdbuf();
  bool lost_an_entry = false;
  const std::string text = Closed(std::move(content).str(), lost_an_entry);
  if (text.empty())
    return Error{ErrorCode::kInvalidInput, "import: this is not a Kernel Tuner cache file, or it is damaged before its end"};
  ImportReport report;
  if (lost_an_entry) {
    report.skipped = 1;
    report.first_skipped.push_back({std::count(text.begin(), text.end(), '\n') + 2, "the last entry is cut off"});
  }

  Status imported = log.Import([&](RecordWriter& writer) -> Status {
    Json fields = Json::object();
    std::optional<Header> header;
    std::string run_id, name, key;
    Status failure;

    const auto take = [&](const Json& entry) -> Status {
      if (!header) {
        header = ReadHeader(fields);
        run_id = "kernel_tuner-" + header->target.FingerprintHash();
        const RunRecord run{
            .id = run_id, .command = "import", .options = {{"imported_from", "kernel_tuner"}}, .state = "imported", .ended_unix_ms = 0};
        if (Result<int64_t> added = writer.AddRun(run, header->target); !added) return added.error();
      }
      Result<Measurement> measurement = [&]() -> Result<Measurement> {
        try {
          return MeasurementOf(*header, entry);
        } catch (const nlohmann::json::exception& wrong) {
          return Error{ErrorCode::kInvalidInput, wrong.what()};
        }
      }();
      if (!measurement)
        return SkipOrFail(report, options, LineOf(text, key), fmt::format("entry '{}': {}", key, measurement.error().message));
      return AddImported(writer, *measurement, run_id, header->target.FingerprintHash(), report);
    };
    // Depth 1: the header's names and their values; depth 2 within "cache": the entries, dropped once they are taken.
    const auto visit = [&](int depth, Json::parse_event_t event, Json& parsed) {
      using Event = Json::parse_event_t;
      if (!failure) return false;
      if (event == Event::key && depth == 1) name = parsed.get<std::string>();
      if (name == "cache") {
        if (event == Event::key && depth == 2) key = parsed.get<std::string>();
        if (event != Event::object_end || depth != 2) return true;
        failure = take(parsed);
        return false;
      }
      if (depth == 1 && (event == Event::value || event == Event::array_end || event == Event::object_end)) fields[name] = parsed;
      return true;
    };
    try {
      const Json header_alone = Json::parse(text, visit);
      if (failure && !header) (void)ReadHeader(header_alone);  // an empty cache must still be one
    } catch (const nlohmann::json::exception& wrong) {
      return Error{ErrorCode::kInvalidInput, fmt::format("this is not a Kernel Tuner cache file: {}", wrong.what())};
    }
    return failure;
  });
  if (!imported) return imported.error();
  return report;
}

namespace {

// Python's str(), which Kernel Tuner makes an entry's key from.
std::string KeyText(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_boolean()) return value.get<bool>() ? "True" : "False";
  return value.dump();
}

Json PlainValue(const Value& value, bool ours) {
  if (ours) return std::visit([](const auto& held) { return Json(held); }, value);
  Result<Json> json = ExpandValue(value);
  return json ? *json : Json(std::get<std::string>(value));
}

Json EntryOf(const Measurement& m, bool ours) {
  Json entry = Json::object();
  for (const auto& [name, value] : m.candidate.config) entry[name] = PlainValue(value, ours);
  if (m.status == MeasureStatus::kOk) {
    Json times = Json::array();
    double sum = 0;
    for (const double seconds : m.seconds) times.push_back(seconds * 1000), sum += seconds * 1000;
    entry["time"] = sum / static_cast<double>(m.seconds.size());  // their time is the mean
    entry["times"] = std::move(times);
  } else {
    entry["time"] = FailureName(m.status);
    entry["lathe_status"] = ToString(m.status);
    entry["lathe_message"] = m.message;
  }
  entry["compile_time"] = m.build_seconds * 1000;
  entry["verification_time"] = 0.0;
  entry["benchmark_time"] = m.run_seconds * 1000;
  entry["strategy_time"] = 0.0;
  entry["framework_time"] = 0.0;
  entry["timestamp"] = Timestamp(m.finished_unix_ms);
  return entry;
}

}  // namespace

Result<int64_t> ExportKernelTuner(TuningLog& log, const LogFilter& filter, std::ostream& out) {
  // First pass: is it one kernel on one device, and which values does each parameter take? A config measured twice keeps its better row.
  std::set<std::string> kinds;
  std::optional<LoggedMeasurement> any;
  std::vector<std::string> parameters;
  std::map<std::string, std::vector<Json>> values;
  std::map<std::string, std::pair<double, int64_t>> chosen;  // entry key -> seconds, row
  Status scanned = log.ForEach(filter, [&](const LoggedMeasurement& row) {
    const Candidate& c = row.measurement.candidate;
    if (row.measurement.status == MeasureStatus::kBoardLost) return true;
    const bool ours = c.template_name != kTemplate;
    kinds.insert(fmt::format("{} by {}@{} on {}", c.workload.Key(), c.template_name, c.template_hash, row.target_key));
    if (!any) {
      any = row;
      for (const auto& [name, value] : c.config) parameters.push_back(name);
    }
    std::string key;
    for (const auto& [name, value] : c.config) {
      const Json plain = PlainValue(value, ours);
      std::vector<Json>& known = values[name];
      if (std::find(known.begin(), known.end(), plain) == known.end()) known.push_back(plain);
      if (!key.empty()) key += ',';
      key += KeyText(plain);
    }
    const auto [slot, fresh] = chosen.try_emplace(key, row.seconds, row.id);
    if (!fresh && row.seconds <= slot->second.first) slot->second = {row.seconds, row.id};
    return true;
  });
  if (!scanned) return scanned.error();
  if (!any) return Error{ErrorCode::kNotFound, "export to a Kernel Tuner cache: no measurement passes the filter"};
  if (kinds.size() > 1) {
    std::string list;
    for (const std::string& kind : kinds) list += "\n  " + kind;
    return Error{ErrorCode::kInvalidInput,
                 "export to a Kernel Tuner cache: it holds one workload of one template version on one device; choose one of" + list};
  }
  Result<Target> target = log.FindTarget(any->target_hash);
  if (!target) return target.error();

  const Candidate& c = any->measurement.candidate;
  const bool ours = c.template_name != kTemplate;
  Json sizes = Json::array();
  for (const auto& [name, value] : c.workload.attributes)
    if (ours && std::holds_alternative<int64_t>(value)) sizes.push_back(std::get<int64_t>(value));
  if (const Value* size = Find(c.workload.attributes, "problem_size"); !ours && size != nullptr) sizes = PlainValue(*size, false);
  Json tune_params = Json::object();
  for (const std::string& name : parameters) {
    std::sort(values[name].begin(), values[name].end());
    tune_params[name] = values[name];
  }
  Json header = {{"schema_version", "1.0.0"}, {"device_name", target->name},    {"kernel_name", c.workload.operator_name},
                 {"problem_size", sizes},     {"tune_params_keys", parameters}, {"tune_params", tune_params},
                 {"objective", "time"}};
  if (ours) header["lathe"] = {{"workload", ToJson(c.workload)}, {"template", c.template_name}, {"template_hash", c.template_hash}};
  std::string head = Dump(header);
  head.pop_back();  // the object goes on
  out << head << ",\n\"cache\": {";
  std::map<int64_t, const std::string*> rows;
  for (const auto& [key, choice] : chosen) rows[choice.second] = &key;
  int64_t written = 0;
  Status read = log.ForEach(filter, [&](const LoggedMeasurement& row) {
    const auto key = rows.find(row.id);
    if (key == rows.end()) return true;
    out << (written == 0 ? "\n" : ",\n") << Dump(Json(*key->second)) << ": " << Dump(EntryOf(row.measurement, ours));
    ++written;
    return static_cast<bool>(out);
  });
  if (!read) return read.error();
  out << "}\n}";
  if (!out.flush()) return Error{ErrorCode::kUnavailable, "export the tuning log: the output could not be written; is the disk full?"};
  return written;
}

}  // namespace lathe
