// The log that engines read: --log FILE, --log-format text|json, --debug, in runc's format.
//
// Backed by spdlog, created on the first line that is really written. Errors are returned, not
// logged; the command line logs the one that ends it.
#pragma once

#include <string>
#include <string_view>

#include "base/result.hpp"

namespace vrun::log {

enum class Format { kText, kJson, kPeople };
enum class Level { kDebug, kInfo, kWarning, kError };

struct Options {
  std::string file;  // empty: stderr
  Format format = Format::kText;
  bool debug = false;
};

void configure(Options options);
// The same, with the file opened (and made) at once: engines look for it, and a name that cannot be
// opened is the caller's mistake.
Result<void> open(Options options);
bool enabled(Level level);
// Never fails: a log that cannot be written does not stop the work.
// People: "vrun: warning: ...". JSON: {"level":"error","msg":"...","time":"RFC 3339"}; text:
// time="..." level=error msg="..."
void write(Level level, std::string_view message);
inline void warning(std::string_view message) {
  write(Level::kWarning, message);
}
inline void debug(std::string_view message) {
  if (enabled(Level::kDebug)) write(Level::kDebug, message);
}

}  // namespace vrun::log
