#include "search/recorded_space.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <string_view>

#include "core/file.h"
#include "core/parse_json.h"
#include "search/gzip_file.h"

namespace lathe {
namespace {

std::vector<std::string_view> Cells(std::string_view line) {
  std::vector<std::string_view> cells;
  for (size_t at = 0;;) {
    const size_t comma = line.find(',', at);
    cells.push_back(line.substr(at, comma - at));
    if (comma == std::string_view::npos) return cells;
    at = comma + 1;
  }
}

// Calls `row` with each line's cells and number; the header line goes to `header`.
template <typename Header, typename Row>
Status ForEachRow(std::string_view text, const Header& header, const Row& row) {
  size_t number = 0;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    ++number;
    if (line.empty()) continue;
    Status status = number == 1 ? header(Cells(line)) : row(Cells(line), number);
    if (!status) return status;
  }
  return {};
}

double NumberOr(std::string_view cell, double otherwise) {
  double value = 0;
  const auto [end, error] = std::from_chars(cell.data(), cell.data() + cell.size(), value);
  return error == std::errc{} && end == cell.data() + cell.size() ? value : otherwise;
}

// Finds the columns of the parameters once, then turns rows into points by the text of their values.
class PointReader {
 public:
  explicit PointReader(const Space& space) : space_(space) {}

  Status Header(const std::vector<std::string_view>& names) {
    for (const Parameter& parameter : space_.parameters()) {
      const auto found = std::find(names.begin(), names.end(), parameter.name);
      if (found == names.end()) return Error{ErrorCode::kInvalidInput, fmt::format("there is no column '{}'", parameter.name)};
      columns_.push_back(static_cast<size_t>(found - names.begin()));
      std::map<std::string, uint16_t, std::less<>> places;
      for (size_t v = 0; v < parameter.values.size(); ++v) places[ToString(parameter.values[v])] = static_cast<uint16_t>(v);
      places_.push_back(std::move(places));
    }
    return {};
  }

  Result<Point> Read(const std::vector<std::string_view>& cells, size_t line) const {
    Point point;
    for (size_t p = 0; p < columns_.size(); ++p) {
      const std::string_view cell = columns_[p] < cells.size() ? cells[columns_[p]] : std::string_view{};
      auto found = places_[p].find(cell);
      if (found == places_[p].end()) found = places_[p].find(ToString(ParseValue(std::string(cell))));  // "16.0" for 16
      if (found == places_[p].end()) {
        return Error{ErrorCode::kInvalidInput,
                     fmt::format("line {}: '{}' is not a value of parameter {}", line, std::string(cell), space_.parameters()[p].name)};
      }
      point.push_back(found->second);
    }
    return point;
  }

 private:
  const Space& space_;
  std::vector<size_t> columns_;
  std::vector<std::map<std::string, uint16_t, std::less<>>> places_;
};

}  // namespace

Result<RecordedSpace> RecordedSpace::Load(const std::filesystem::path& path) {
  RecordedSpace recorded;
  recorded.stem_ = path;
  if (path.extension() == ".json") recorded.stem_.replace_extension();
  const std::string doing = fmt::format("read recorded space '{}'", recorded.stem_.string());
  Result<std::string> text = ReadFile(recorded.stem_.string() + ".json");
  if (!text) return text.error().In(doing);
  Result<nlohmann::json> parsed = ParseJson(*text);
  if (!parsed) return parsed.error().In(doing + ": its .json");
  const nlohmann::json& json = *parsed;
  Result<SpaceDefinition> definition = SpaceDefinitionFromJson(json);
  if (!definition) return definition.error().In(doing);
  recorded.definition_ = std::move(*definition);
  Result<Space> space = Space::Create(recorded.definition_);
  if (!space) return space.error().In(doing);
  recorded.space_ = std::make_unique<Space>(std::move(*space));
  Result<std::string> rows = ReadGzipFile(recorded.stem_.string() + ".csv.gz");
  if (!rows) return rows.error().In(doing);
  if (Status status = recorded.ReadRows(*rows); !status) return status.error().In(doing + " (.csv.gz)");
  return recorded;
}

Status RecordedSpace::ReadRows(const std::string& text) {
  PointReader reader(*space_);
  std::map<std::string, size_t, std::less<>> columns;
  const auto cell = [&](const std::vector<std::string_view>& cells, const char* name) {
    const auto found = columns.find(name);
    return found == columns.end() || found->second >= cells.size() ? std::string_view{} : cells[found->second];
  };
  const Status status = ForEachRow(
      text,
      [&](const std::vector<std::string_view>& names) -> Status {
        for (size_t i = 0; i < names.size(); ++i) columns[std::string(names[i])] = i;
        if (!columns.contains("time_ms")) return Error{ErrorCode::kInvalidInput, "there is no column 'time_ms'"};
        return reader.Header(names);
      },
      [&](const std::vector<std::string_view>& cells, size_t line) -> Status {
        Result<Point> point = reader.Read(cells, line);
        if (!point) return point.error();
        if (!space_->IsValid(*point))
          return Error{ErrorCode::kInvalidInput, fmt::format("line {}: the constraints do not allow this configuration", line)};
        RecordedResult result;
        result.seconds = NumberOr(cell(cells, "time_ms"), -1) / 1e3;
        result.build_seconds = NumberOr(cell(cells, "compile_ms"), 0) / 1e3;
        result.run_seconds = NumberOr(cell(cells, "bench_ms"), 0) / 1e3;
        if (result.seconds <= 0) {
          const std::string_view error = cell(cells, "error");
          result.status = error == "compile" ? MeasureStatus::kBuildError : MeasureStatus::kLaunchError;
        } else {
          sorted_.push_back(result.seconds);
        }
        if (!results_.emplace(std::move(*point), std::move(result)).second) {
          return Error{ErrorCode::kInvalidInput, fmt::format("line {}: this configuration came before", line)};
        }
        return {};
      });
  if (!status) return status;
  if (sorted_.empty()) return Error{ErrorCode::kInvalidInput, "no configuration worked"};
  std::sort(sorted_.begin(), sorted_.end());
  return {};
}

Status RecordedSpace::LoadSamples() {
  const std::string path = stem_.string() + ".samples.csv.gz";
  Result<std::string> text = ReadGzipFile(path);
  if (!text) return text.error();
  PointReader reader(*space_);
  std::vector<size_t> columns;
  const Status status = ForEachRow(
      *text,
      [&](const std::vector<std::string_view>& names) -> Status {
        for (size_t i = 0; i < names.size(); ++i) {
          if (names[i].starts_with("ms_")) columns.push_back(i);
        }
        return reader.Header(names);
      },
      [&](const std::vector<std::string_view>& cells, size_t line) -> Status {
        Result<Point> point = reader.Read(cells, line);
        if (!point) return point.error();
        const auto found = results_.find(*point);
        if (found == results_.end())
          return Error{ErrorCode::kInvalidInput, fmt::format("line {}: not in the list of configurations", line)};
        for (size_t column : columns) {
          const double ms = column < cells.size() ? NumberOr(cells[column], -1) : -1;
          if (ms > 0) found->second.samples.push_back(static_cast<float>(ms / 1e3));
        }
        return {};
      });
  if (!status) return status.error().In(fmt::format("read samples '{}'", path));
  return {};
}

const RecordedResult* RecordedSpace::Find(const Point& point) const {
  const auto found = results_.find(point);
  return found == results_.end() ? nullptr : &found->second;
}

}  // namespace lathe
