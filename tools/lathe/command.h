// What every sub-command shares: the options all of them take, exit codes, and how an error reaches the user.
#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "core/result.h"
#include "core/workload.h"
#include "space/template_library.h"

namespace lathe {

// Documented in `lathe --help`.
enum ExitCode {
  kExitOk = 0,
  kExitFailed = 1,        // the world failed: disk, compiler, board, a device or driver that is not here
  kExitUsage = 2,         // the command line is wrong
  kExitInvalidInput = 3,  // a file, manifest or workload is wrong, or the file is not there
  kExitNotFound = 4,      // nothing fits: no such template, no record, not tuned under --strict
  kExitIncomplete = 5,    // done, but with findings: unknown nodes, failed checks, tasks without a winner, operators left out
  kExitStopped = 130,     // Ctrl-C; what was measured is in the log
};

struct CommonOptions {
  std::string templates;  // empty: TemplateLibrary::DefaultDir()
  bool json = false;
};

// A sub-command registers its flags and stores what to do; main runs the one that was chosen.
using Action = std::function<int()>;
using Register = void (*)(CLI::App& app, CommonOptions& common, Action& chosen);

void RegisterTasks(CLI::App& app, CommonOptions& common, Action& chosen);
void RegisterSpace(CLI::App& app, CommonOptions& common, Action& chosen);
void RegisterTune(CLI::App& app, CommonOptions& common, Action& chosen);
void RegisterLimits(CLI::App& app, CommonOptions& common, Action& chosen);
void RegisterQuery(CLI::App& app, CommonOptions& common, Action& chosen);
void RegisterBuild(CLI::App& app, CommonOptions& common, Action& chosen);
void RegisterCheck(CLI::App& app, CommonOptions& common, Action& chosen);
void RegisterRecord(CLI::App& app, CommonOptions& common, Action& chosen);
void RegisterReplay(CLI::App& app, CommonOptions& common, Action& chosen);
void RegisterLog(CLI::App& app, CommonOptions& common, Action& chosen);

// Prints "lathe: MESSAGE" to standard error; the exit code follows from the error's.
int Fail(const Error& error);
int WrongCommandLine(const std::string& message);
// Libraries call everything that is missing kNotFound; the exit code tells a name that does not exist from these two.
Error OfInput(Error error);    // a file that was to be read
Error OfMachine(Error error);  // a device, a driver, a compiler, a folder to write in
Status InputIsThere(const std::string& doing, const std::string& file);
void PrintJson(const nlohmann::json& json);
void PrintJson(const nlohmann::ordered_json& json);

// Operators with a wrong manifest are left out, with a warning each.
Result<TemplateLibrary> LoadTemplates(const CommonOptions& common);
// How a command ends that asked for every operator: what was left out is a finding.
int DoneWithAll(const TemplateLibrary& library);

// A workload from the command line, with what was left out filled in, and its operator.
struct NamedWorkload {
  const Operator* op;
  Workload workload;
};
Result<NamedWorkload> ReadWorkload(const TemplateLibrary& library, const std::string& text);

// Lets an option take only what `parse` understands: anything else is a wrong command line, found before the command starts.
template <typename Parse>
CLI::Option* Parsed(CLI::Option* option, const Parse& parse) {
  return option->check(CLI::Validator(
      [parse](const std::string& text) {
        const auto parsed = parse(text);
        return parsed ? std::string() : parsed.error().message;
      },
      ""));
}

}  // namespace lathe
