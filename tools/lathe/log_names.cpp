#include "tools/lathe/log_names.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <functional>
#include <set>

namespace lathe {
namespace {

constexpr size_t kMostListed = 8;

std::string Listed(const std::vector<std::string>& names) {
  if (names.empty()) return "nothing yet";
  const size_t shown = std::min(names.size(), kMostListed);
  return fmt::format("{}{}", fmt::join(names.begin(), names.begin() + static_cast<std::ptrdiff_t>(shown), ", "),
                     shown < names.size() ? fmt::format(" and {} more", names.size() - shown) : "");
}

// How many attributes two workloads' keys do not share.
size_t Differing(const std::string& a, const std::string& b) {
  const auto parts = [](const std::string& key) {
    std::set<std::string> list;
    for (size_t at = key.find(':'); at < key.size();) {
      const size_t end = std::min(key.find(',', at + 1), key.size());
      list.insert(key.substr(at + 1, end - at - 1));
      at = end;
    }
    return list;
  };
  const std::set<std::string> wanted = parts(a), has = parts(b);
  return static_cast<size_t>(std::count_if(wanted.begin(), wanted.end(), [&](const std::string& part) { return has.count(part) == 0; }));
}

Result<std::vector<std::string>> RunNames(TuningLog& log) {
  Result<std::vector<RunRecord>> runs = log.Runs();
  if (!runs) return runs.error();
  std::vector<std::string> names;
  for (const RunRecord& run : *runs) names.push_back(run.id);
  return names;
}

Result<std::vector<std::string>> TargetKeys(TuningLog& log) {
  Result<std::vector<Target>> targets = log.Targets();
  if (!targets) return targets.error();
  std::set<std::string> keys;
  for (const Target& target : *targets) keys.insert(target.Key());
  return std::vector<std::string>(keys.begin(), keys.end());
}

// Those most like the wanted one first.
Result<std::vector<std::string>> WorkloadsLike(TuningLog& log, const std::string& key) {
  const std::string operator_name = key.substr(0, key.find(':'));
  Result<std::vector<std::string>> names = log.Names(TuningLog::Kind::kWorkload, operator_name);
  if (!names) return names.error();
  std::stable_sort(names->begin(), names->end(),
                   [&](const std::string& a, const std::string& b) { return Differing(key, a) < Differing(key, b); });
  return names;
}

}  // namespace

void SplitTemplateName(LogFilter& filter) {
  const size_t slash = filter.template_name.find('/');
  if (slash == std::string::npos) return;
  if (filter.operator_name.empty()) filter.operator_name = filter.template_name.substr(0, slash);
  filter.template_name.erase(0, slash + 1);
}

Status CheckNamesInLog(TuningLog& log, const LogFilter& filter) {
  const auto check = [&](const LogFilter& alone, const std::string& what, const std::string& name,
                         const std::function<Result<std::vector<std::string>>()>& list) -> Status {
    if (name.empty()) return {};
    Result<int64_t> count = log.Count(alone);
    if (!count) return count.error();
    if (*count > 0) return {};
    Result<std::vector<std::string>> names = list();
    if (!names) return names.error();
    return Error{ErrorCode::kNotFound,
                 fmt::format("'{}' holds no measurement of {} '{}'; it has: {}", log.path().string(), what, name, Listed(*names))};
  };
  if (Status known = check({.operator_name = filter.operator_name}, "operator", filter.operator_name,
                           [&] { return log.Names(TuningLog::Kind::kOperator); });
      !known)
    return known;
  if (Status known = check({.operator_name = filter.operator_name, .template_name = filter.template_name}, "template", filter.template_name,
                           [&] { return log.Names(TuningLog::Kind::kTemplate, filter.operator_name); });
      !known)
    return known;
  if (Status known = check({.target = filter.target}, "target", filter.target, [&] { return TargetKeys(log); }); !known) return known;
  if (Status known = check({.run_id = filter.run_id}, "run", filter.run_id, [&] { return RunNames(log); }); !known) return known;
  return check({.workload_key = filter.workload_key}, "workload", filter.workload_key,
               [&] { return WorkloadsLike(log, filter.workload_key); });
}

}  // namespace lathe
