#include "space/template_library.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <system_error>
#include <utility>

#include "core/file.h"

namespace lathe {
namespace fs = std::filesystem;

Result<std::vector<fs::path>> TemplateLibrary::OperatorFolders(const fs::path& dir) {
  std::error_code failure;
  std::vector<fs::path> folders;
  for (const fs::directory_entry& entry : fs::directory_iterator(dir, failure))
    if (fs::exists(entry.path() / "operator.json")) folders.push_back(entry.path());
  if (failure)
    return Error{ErrorCode::kNotFound,
                 fmt::format("read templates from '{}': {}; set LATHE_TEMPLATES or give --templates", dir.string(), failure.message())};
  std::sort(folders.begin(), folders.end());
  return folders;
}

// The operator with all of its templates, or nothing of it.
Status TemplateLibrary::Take(const fs::path& folder) {
  Result<Operator> read = Operator::Load(folder);
  if (!read) return read.error();
  auto op = std::make_unique<Operator>(*std::move(read));
  std::error_code failure;
  std::vector<fs::path> manifests;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, failure))
    if (entry.path().extension() == ".json" && entry.path().filename() != "operator.json") manifests.push_back(entry.path());
  std::sort(manifests.begin(), manifests.end());
  std::vector<std::unique_ptr<KernelTemplate>> templates;
  for (const fs::path& manifest : manifests) {
    Result<KernelTemplate> tmpl = KernelTemplate::Load(manifest, *op);
    if (!tmpl) return tmpl.error();
    templates.push_back(std::make_unique<KernelTemplate>(*std::move(tmpl)));
  }
  operators_.push_back(std::move(op));
  std::move(templates.begin(), templates.end(), std::back_inserter(templates_));
  return {};
}

Result<TemplateLibrary> TemplateLibrary::Load(const fs::path& dir) {
  Result<TemplateLibrary> library = LoadSound(dir);
  if (library && !library->left_out_.empty()) return library->left_out_.begin()->second;
  return library;
}

Result<TemplateLibrary> TemplateLibrary::LoadSound(const fs::path& dir) {
  Result<std::vector<fs::path>> folders = OperatorFolders(dir);
  if (!folders) return folders.error();
  TemplateLibrary library;
  library.dir_ = dir;
  for (const fs::path& folder : *folders)
    if (Status taken = library.Take(folder); !taken) library.left_out_.emplace(folder.filename().string(), taken.error());
  return library;
}

fs::path TemplateLibrary::DefaultDir() {
  if (const char* given = std::getenv("LATHE_TEMPLATES"); given != nullptr && *given != 0) return given;
  std::error_code failure;
  const fs::path program = fs::read_symlink("/proc/self/exe", failure);
  if (!failure) {
    const fs::path installed = program.parent_path().parent_path() / "share/lathe/templates";
    if (fs::exists(installed)) return installed;
  }
  return LATHE_TEMPLATES_DIR;
}

std::vector<const Operator*> TemplateLibrary::operators() const {
  std::vector<const Operator*> all;
  for (const auto& op : operators_) all.push_back(op.get());
  return all;
}

Result<const Operator*> TemplateLibrary::FindOperator(const std::string& name) const {
  std::vector<std::string> names;
  for (const auto& op : operators_) {
    if (op->name() == name) return op.get();
    names.push_back(op->name());
  }
  if (const auto wrong = left_out_.find(name); wrong != left_out_.end()) return wrong->second;
  return Error{ErrorCode::kNotFound, fmt::format("no operator '{}' in '{}'; there are: {}", name, dir_.string(), fmt::join(names, ", "))};
}

Result<const KernelTemplate*> TemplateLibrary::FindTemplate(const std::string& name) const {
  std::vector<const KernelTemplate*> found;
  const std::string operator_name = name.substr(0, name.find('/'));
  std::vector<std::string> names, of_operator;  // those of the operator that the name begins with
  for (const auto& tmpl : templates_) {
    const std::string qualified = tmpl->operator_name() + '/' + tmpl->name();
    if (qualified == name) return tmpl.get();
    if (tmpl->name() == name) found.push_back(tmpl.get());
    names.push_back(qualified);
    if (tmpl->operator_name() == operator_name) of_operator.push_back(qualified);
  }
  if (found.size() == 1) return found.front();
  if (const auto wrong = left_out_.find(operator_name); wrong != left_out_.end()) return wrong->second;
  if (!of_operator.empty())
    return Error{ErrorCode::kNotFound,
                 fmt::format("no template '{}' in '{}'; '{}' has: {}", name, dir_.string(), operator_name, fmt::join(of_operator, ", "))};
  return Error{ErrorCode::kNotFound, fmt::format("{} template '{}' in '{}'; there are: {}", found.empty() ? "no" : "more than one", name,
                                                 dir_.string(), fmt::join(names, ", "))};
}

std::vector<const KernelTemplate*> TemplateLibrary::TemplatesOf(const std::string& operator_name) const {
  std::vector<const KernelTemplate*> all;
  for (const auto& tmpl : templates_)
    if (tmpl->operator_name() == operator_name) all.push_back(tmpl.get());
  return all;
}

std::string TemplateLibrary::Prelude(const std::string& file) const {
  Result<std::string> text = ReadFile(dir_ / "prelude" / file);
  return text ? *text : std::string();
}

}  // namespace lathe
