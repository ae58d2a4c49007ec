#include "engine/disk_extras.hpp"

#include <algorithm>
#include <cstdio>
#include <set>
#include <string_view>

namespace vrun::engine {
namespace {

std::string octal(unsigned mode) {
  char text[16];
  std::snprintf(text, sizeof text, "0%o", mode);
  return text;
}

std::string quoted(const std::string& path) {
  return "\"" + path + "\"";
}

// "/a/b/c": "/a", "/a/b".
void make_above(const std::string& path, std::set<std::string>& made, std::string& script) {
  for (std::size_t at = path.find('/', 1); at != path.npos; at = path.find('/', at + 1)) {
    const std::string above = path.substr(0, at);
    // Of one that is there it complains and goes on.
    if (made.insert(above).second) script += "mkdir " + quoted(above) + "\n";
  }
}

void add(const DiskExtra& extra, std::string& script) {
  const std::size_t slash = extra.path.rfind('/');
  const std::string dir = slash == 0 ? "/" : extra.path.substr(0, slash);
  const std::string name = extra.path.substr(slash + 1);
  if (extra.replaces) script += "rm " + quoted(extra.path) + "\n";
  // write and symlink take names in the current directory only.
  script += "cd " + quoted(dir) + "\n";
  if (extra.kind == DiskExtra::Kind::kLink) {
    script += "symlink " + quoted(name) + " " + quoted(extra.source) + "\n";
    return;
  }
  constexpr unsigned kRegular = 0100000;
  script += "write " + quoted(extra.source) + " " + quoted(name) + "\n";
  script += "sif " + quoted(extra.path) + " mode " + octal(kRegular | extra.mode) + "\n";
  script += "sif " + quoted(extra.path) + " uid 0\nsif " + quoted(extra.path) + " gid 0\n";
}

}  // namespace

bool is_plain_path(const std::string& path) {
  return std::none_of(path.begin(), path.end(),
                      [](char c) { return c == '"' || c == '\n' || c == '\\'; });
}

std::string debugfs_script(const std::vector<DiskExtra>& extras) {
  std::string script;
  std::set<std::string> made;
  for (const DiskExtra& extra : extras) {
    make_above(extra.path, made, script);
    if (extra.kind != DiskExtra::Kind::kDirectory) {
      add(extra, script);
    } else if (made.insert(extra.path).second) {
      script += "mkdir " + quoted(extra.path) + "\n";
    }
  }
  return script;
}

}  // namespace vrun::engine
