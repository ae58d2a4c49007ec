#include "cli/complain.hpp"

#include <unistd.h>

#include "base/log.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"

namespace vrun::cli {
namespace {

// One line for a log: the faults of a document, a line each, are joined by "; ".
std::string one_line(const Error& error) {
  const std::string text = error.text();
  std::string out;
  for (const std::string_view line : split(text, '\n')) {
    if (!out.empty()) out += "; ";
    out += line;
  }
  if (!error.hint().empty()) out += " (hint: " + error.hint() + ")";
  return out;
}

}  // namespace

std::string complaint(std::string_view program, const Error& error) {
  std::string out = std::string(program) + ": ";
  const std::string text = error.text();
  for (const std::string_view line : split(text, '\n')) {
    if (out.ends_with('\n')) out += "  ";
    out += printable(line) + '\n';
  }
  if (!error.hint().empty()) out += "  hint: " + printable(error.hint()) + '\n';
  return out;
}

void complain(std::string_view program, const Error& error, AlsoLog also_log) {
  if (also_log == AlsoLog::kYes) log::write(log::Level::kError, one_line(error));
  // Nobody is left to tell when stderr cannot be written.
  (void)sys::write_all(STDERR_FILENO, complaint(program, error));
}

}  // namespace vrun::cli
