// What a caller of vrun-broker read with its own rights, for root's vrun, which opens none of the
// caller's paths: texts of files (--env-file, --label-file, manifests) and values of variables
// (-e NAME). It travels as one sealed memfd: what is in it can neither change nor block a reader,
// and no other kind of descriptor carries those seals.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"

namespace vrun::tenants {

inline constexpr std::size_t kMostCallerBytes = 20U << 20U;

struct CallerFile {
  std::string asked;  // as it stands on the command line
  std::string name;   // of a file in the directory `asked`; else the same
  std::string text;
};

// How `cp` names things; the host's side of it is the caller's.
struct CallerCopy {
  std::string name;        // into a guest: what the source is called; out of one: to be called so
  bool directory = false;  // into a guest: the source is one. Out of one: it has to be
};

struct CallerFiles {
  std::vector<std::string> env;  // "NAME=value"
  std::vector<CallerFile> files;
  std::vector<CallerCopy> copies;  // none or one

  bool empty() const { return env.empty() && files.empty() && copies.empty(); }
  bool has(std::string_view asked) const;
};

std::string to_bytes(const CallerFiles& files);
Result<CallerFiles> parse_caller_files(std::string_view bytes);

Result<Fd> to_memfd(const CallerFiles& files);
// kDenied for anything but a sealed memfd of at most kMostCallerBytes.
Result<CallerFiles> read_caller_files(int fd);

}  // namespace vrun::tenants
