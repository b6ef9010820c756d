#include "tools/lathe/progress_line.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <utility>

#include "tools/lathe/table.h"

namespace lathe {
namespace {

constexpr auto kOnTerminal = std::chrono::milliseconds(200);
constexpr auto kElsewhere = std::chrono::seconds(10);

// To so many bytes at most, never within a character.
std::string Cut(const std::string& text, size_t most) {
  if (text.size() <= most) return text;
  while (most > 0 && (static_cast<unsigned char>(text[most]) & 0xC0) == 0x80) --most;
  return text.substr(0, most);
}

}  // namespace

ProgressLine::ProgressLine(Words words) : words_(std::move(words)), terminal_(isatty(STDERR_FILENO) != 0) {}

ProgressLine::~ProgressLine() { Clear(); }

void ProgressLine::Clear() {
  if (terminal_ && last_ != std::chrono::steady_clock::time_point{}) fmt::print(stderr, "\r\033[K");
}

std::string ProgressLine::Text(const TuneProgress& progress) {
  size_t trials = 0, budget = 0, done = 0;
  double untuned = 0, tuned = 0;  // weighted by count, as in the summary
  const TaskProgress* current = nullptr;
  for (const TaskProgress& task : progress.tasks) {
    trials += task.trials;
    budget += task.budget;
    done += task.done ? 1 : 0;
    if (std::isfinite(task.best)) {
      tuned += task.weight * task.best;
      untuned += task.weight * (std::isfinite(task.untuned) ? task.untuned : task.best);
    }
    if (!task.done && (current == nullptr || task.trials > current->trials)) current = &task;
  }
  // The time left stands early: a narrow terminal cuts off the end.
  std::string text = fmt::format("{}/{} trials, {} to go", trials, budget, FormatSpan(progress.eta_seconds));
  if (progress.tasks.size() > 1) text += fmt::format(", {}/{} tasks done", done, progress.tasks.size());
  if (tuned > 0 && AddsUp(progress.unit)) text += fmt::format(", gain {:.2f}x", untuned / tuned);
  if (current != nullptr && current->in_finals) text += ", measuring the fastest again";
  if (current != nullptr && std::isfinite(current->best)) text += fmt::format(", best {}", FormatQuantity(current->best, progress.unit));
  text += fmt::format(", {:.1f} measurements/s", progress.per_second);
  size_t failures = 0;
  std::string kinds;
  for (const auto& [status, count] : progress.failures) {
    failures += count;
    kinds += fmt::format("{}{} {}", kinds.empty() ? "" : ", ", count, status);
  }
  if (failures > 0) text += fmt::format(", failed: {}", kinds);
  return text;
}

void ProgressLine::OnProgress(const TuneProgress& progress) {
  const auto now = std::chrono::steady_clock::now();
  if (last_ != std::chrono::steady_clock::time_point{} &&
      now - last_ < (terminal_ ? std::chrono::milliseconds(kOnTerminal) : std::chrono::milliseconds(kElsewhere)))
    return;
  Show(words_(progress));
}

void ProgressLine::Show(const std::string& text) {
  last_ = std::chrono::steady_clock::now();
  if (!terminal_) {
    fmt::print(stderr, "{}\n", text);
    return;
  }
  winsize size{};
  const size_t columns = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1 ? size.ws_col - 1u : 79u;
  fmt::print(stderr, "\r{}\033[K", Cut(text, columns));
  std::fflush(stderr);
}

}  // namespace lathe
