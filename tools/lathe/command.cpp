#include "tools/lathe/command.h"

#include <fmt/format.h>

#include <cstdio>
#include <nlohmann/json.hpp>

namespace lathe {

int Fail(const Error& error) {
  fmt::print(stderr, "lathe: {}\n", error.message);
  switch (error.code) {
    case ErrorCode::kInvalidInput:
    case ErrorCode::kIncompatible:
      return kExitInvalidInput;
    case ErrorCode::kNotFound:
      return kExitNotFound;
    case ErrorCode::kCancelled:
      return kExitStopped;
    case ErrorCode::kUnavailable:
    case ErrorCode::kResourceExhausted:
    case ErrorCode::kInternal:
      return kExitFailed;
  }
  return kExitFailed;
}

int WrongCommandLine(const std::string& message) {
  fmt::print(stderr, "lathe: {}\n", message);
  return kExitUsage;
}

Error OfInput(Error error) {
  if (error.code == ErrorCode::kNotFound) error.code = ErrorCode::kInvalidInput;
  return error;
}

Error OfMachine(Error error) {
  if (error.code == ErrorCode::kNotFound) error.code = ErrorCode::kUnavailable;
  return error;
}

Status InputIsThere(const std::string& doing, const std::string& file) {
  std::error_code failure;
  if (std::filesystem::exists(file, failure)) return {};
  return Error{ErrorCode::kInvalidInput, fmt::format("{} '{}': there is no such file", doing, file)};
}

void PrintJson(const nlohmann::json& json) {
  // Compilers' and models' texts need not be UTF-8.
  fmt::print("{}\n", json.dump(2, ' ', false, nlohmann::detail::error_handler_t::replace));
}
void PrintJson(const nlohmann::ordered_json& json) {
  // Compilers' and models' texts need not be UTF-8.
  fmt::print("{}\n", json.dump(2, ' ', false, nlohmann::detail::error_handler_t::replace));
}

Result<TemplateLibrary> LoadTemplates(const CommonOptions& common) {
  Result<TemplateLibrary> library =
      TemplateLibrary::LoadSound(common.templates.empty() ? TemplateLibrary::DefaultDir() : std::filesystem::path(common.templates));
  if (!library) return OfInput(library.error());
  for (const auto& [name, error] : library->left_out()) fmt::print(stderr, "lathe: operator '{}' is left out: {}\n", name, error.message);
  return library;
}

int DoneWithAll(const TemplateLibrary& library) { return library.left_out().empty() ? kExitOk : kExitIncomplete; }

Result<NamedWorkload> ReadWorkload(const TemplateLibrary& library, const std::string& text) {
  Result<Workload> workload = ParseWorkload(text);
  if (!workload) return workload.error();
  Result<const Operator*> op = library.FindOperator(workload->operator_name);
  if (!op) return op.error();
  workload = (*op)->Normalise(*std::move(workload));
  if (!workload) return workload.error();
  return NamedWorkload{*op, *std::move(workload)};
}

}  // namespace lathe
