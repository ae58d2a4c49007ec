#include "rootfs/host_mounts_child.hpp"

#include "rootfs/kernel_child.hpp"

namespace vrun::rootfs {
namespace {

using kernel::Owned;

constexpr long kDetach = 2;    // MNT_DETACH of umount2(2)
constexpr long kNoFollow = 8;  // UMOUNT_NOFOLLOW

// Reads mountinfo line by line through a small buffer (proc_pid_mountinfo(5)).
struct Lines {
  int file;
  char bytes[8192];
  size_t have = 0;
  size_t at = 0;

  explicit Lines(int fd) : file(fd) {}

  // The next line into `line`, without its end: 1, 0 at the end of the file, or -errno.
  long next(char* line, size_t size) {
    size_t n = 0;
    while (true) {
      if (at == have) {
        const long got = raw::read(file, bytes, sizeof bytes);
        if (got < 0) return got;
        if (got == 0) return n > 0 ? 1 : 0;
        have = static_cast<size_t>(got);
        at = 0;
      }
      const char c = bytes[at++];
      if (c == '\n') {
        line[n] = '\0';
        return 1;
      }
      if (n + 1 == size) return -ENAMETOOLONG;
      line[n++] = c;
    }
  }
};

// The n-th field (from 0) of a line of blank-separated fields; empty if there is none.
const char* field(const char* line, unsigned n) {
  for (; n > 0; --n) {
    while (*line != '\0' && *line != ' ')
      ++line;
    while (*line == ' ')
      ++line;
  }
  return line;
}

bool starts_with_word(const char* text, const char* word) {
  while (*word != '\0') {
    if (*text++ != *word++) return false;
  }
  return *text == ' ' || *text == '\0';
}

// After the " - " that ends the optional fields stands the filesystem type.
bool is_proc_or_sysfs(const char* line) {
  for (const char* at = field(line, 6); *at != '\0'; at = field(at, 1)) {
    if (!starts_with_word(at, "-")) continue;
    const char* type = field(at, 1);
    return starts_with_word(type, "proc") || starts_with_word(type, "sysfs");
  }
  return false;
}

// Blanks, tabs, newlines and backslashes are octal escapes in mountinfo.
void unescape_path(const char* field_text, char* out) {
  while (*field_text != '\0' && *field_text != ' ') {
    if (field_text[0] == '\\' && field_text[1] >= '0' && field_text[1] <= '3') {
      *out++ = static_cast<char>(((field_text[1] - '0') << 6) | ((field_text[2] - '0') << 3) |
                                 (field_text[3] - '0'));
      field_text += 4;
      continue;
    }
    *out++ = *field_text++;
  }
  *out = '\0';
}

// Covers what cannot be unmounted: it is locked together with what lies below it.
long cover(const char* path) {
  return raw::call(__NR_mount, raw::ptr("tmpfs"), raw::ptr(path), raw::ptr("tmpfs"), 0, 0);
}

long take_away(const char* path) {
  long result = raw::call(__NR_mount, 0, raw::ptr(path), 0, MS_SLAVE | MS_REC, 0);
  if (result == 0) result = raw::call(__NR_umount2, raw::ptr(path), kDetach | kNoFollow);
  if (result == -EINVAL || result == -EPERM) result = cover(path);
  // Gone meanwhile, together with the one it was mounted in.
  return result == -ENOENT ? 0 : result;
}

// Is `path` below the container's root? The root's own path in this namespace says so.
bool is_below(const char* path, const char* root, size_t root_bytes) {
  for (size_t i = 0; i < root_bytes; ++i) {
    if (path[i] != root[i]) return false;
  }
  return path[root_bytes] == '/' || path[root_bytes] == '\0';
}

long root_path(int root, char* out, size_t size) {
  if (const long result = raw::call(__NR_fchdir, root); result < 0) return result;
  const long n = raw::call(__NR_getcwd, raw::ptr(out), static_cast<long>(size));
  raw::call(__NR_chdir, raw::ptr("/"));
  return n < 0 ? n : 0;
}

}  // namespace

long hide_host_filesystems(steps::Context& context) {
  char root[steps::kMaxPath];
  if (const long result = root_path(context.root_fd, root, sizeof root); result < 0) return result;
  const size_t root_bytes = raw::length(root);
  Owned table(raw::openat(AT_FDCWD, "/proc/self/mountinfo", O_RDONLY | O_CLOEXEC));
  if (table.get() < 0) return table.get();
  Lines lines(table.get());
  char line[3 * steps::kMaxPath];
  char path[3 * steps::kMaxPath];
  while (true) {
    const long more = lines.next(line, sizeof line);
    if (more <= 0) return more;
    if (!is_proc_or_sysfs(line)) continue;
    unescape_path(field(line, 4), path);
    if (is_below(path, root, root_bytes)) continue;
    if (const long result = take_away(path); result < 0) {
      context.say(path);
      return result;
    }
  }
}

}  // namespace vrun::rootfs
