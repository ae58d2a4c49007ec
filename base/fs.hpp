// Small files at a directory descriptor.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/fd.hpp"
#include "base/result.hpp"

namespace vrun::fs {

// The whole of a file of at most `limit` bytes. With kRegularOnly a fifo, device or folder is an
// error (opened without blocking). Files of /proc and /sys are regular.
enum class Kind { kAny, kRegularOnly };
Result<std::string> read_file(At at, const std::string& path, std::size_t limit,
                              Kind kind = Kind::kAny);

// What one read(2) of a kernel file gives: those of procfs and kernfs that fit give themselves
// whole.
Result<std::string_view> read_kernel_file(At at, const std::string& path, std::span<char> buffer);

// One write(2) to an existing kernel file (cgroup, procfs): the kernel sees the value whole.
Result<void> write_value(At at, const std::string& path, std::string_view value);

// Writes a new file under a temporary name and renames it over `name`: readers see old or new,
// never half.
Result<void> replace_file(At dir, const std::string& name, std::string_view bytes,
                          unsigned mode = 0600);

// Makes every missing directory of an absolute or relative path.
Result<void> make_dirs(At at, const std::string& path, unsigned mode);

// Removes a tree without following links or leaving its filesystem. A missing tree is success.
Result<void> remove_tree(At at, const std::string& name);

// a + "/" + b without doubled slashes; b absolute stays below a.
std::string join(std::string_view a, std::string_view b);
// Lexical: no ".", "..", doubled slashes; absolute stays absolute; "/.." is "/".
std::string clean(std::string_view path);
std::string_view base_name(std::string_view path);
std::string_view dir_name(std::string_view path);

}  // namespace vrun::fs
