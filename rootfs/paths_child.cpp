#include "rootfs/paths_child.hpp"

#include "rootfs/kernel_child.hpp"

namespace vrun::rootfs {
namespace {

using kernel::Owned;

constexpr uint64_t kNoLinks = kernel::kInRoot | RESOLVE_NO_SYMLINKS;
constexpr int kMaxLinks = 40;  // as the kernel's own limit, path_resolution(7)
constexpr size_t kMaxName = 255;

bool equals(const char* a, const char* b) {
  while (*a != '\0' && *a == *b) {
    ++a;
    ++b;
  }
  return *a == *b;
}

// One component after the other. `done` is the part already resolved: relative to the root and
// free of links, so opening it with RESOLVE_NO_SYMLINKS either finds the same place again or fails.
struct Walk {
  int root;
  char done[steps::kMaxPath];
  size_t done_bytes;
  char rest[steps::kMaxPath];
  size_t at;  // where in rest we are
  int links;
  char name[kMaxName + 1];

  bool start(int root_fd, const char* path) {
    root = root_fd;
    links = 0;
    at = 0;
    clear();
    const size_t bytes = raw::length(path);
    if (bytes >= sizeof rest) return false;
    __builtin_memcpy(rest, path, bytes + 1);
    return true;
  }

  void clear() {
    done[0] = '.';
    done[1] = '\0';
    done_bytes = 1;
  }

  // The next component into `name`: 1, or 0 at the end, or -ENAMETOOLONG.
  long next() {
    while (rest[at] == '/')
      ++at;
    size_t n = 0;
    for (; rest[at] != '\0' && rest[at] != '/'; ++at) {
      if (n == kMaxName) return -ENAMETOOLONG;
      name[n++] = rest[at];
    }
    name[n] = '\0';
    return n != 0 ? 1 : 0;
  }

  bool at_end() const {
    size_t i = at;
    while (rest[i] == '/')
      ++i;
    return rest[i] == '\0';
  }

  bool push() {
    const size_t n = raw::length(name);
    if (done_bytes + 1 + n >= sizeof done) return false;
    done[done_bytes] = '/';
    __builtin_memcpy(done + done_bytes + 1, name, n + 1);
    done_bytes += 1 + n;
    return true;
  }

  void pop() {  // "." stays "." : ".." of the root is the root
    while (done_bytes > 1 && done[done_bytes - 1] != '/')
      --done_bytes;
    if (done_bytes > 1) --done_bytes;
    done[done_bytes] = '\0';
  }

  // Puts the text of a link in front of what is left.
  long follow(int link) {
    if (++links > kMaxLinks) return -ELOOP;
    char text[steps::kMaxPath];
    const long n = raw::call(__NR_readlinkat, link, raw::ptr(""), raw::ptr(text), sizeof text);
    if (n < 0) return n;
    if (n == 0) return -ENOENT;
    const size_t bytes = static_cast<size_t>(n);
    const size_t left = raw::length(rest + at);
    if (bytes + left + 1 >= sizeof rest) return -ENAMETOOLONG;
    __builtin_memmove(rest + bytes, rest + at, left + 1);
    __builtin_memcpy(rest, text, bytes);
    at = 0;
    if (text[0] == '/') clear();
    return 0;
  }

  long open_done(uint64_t flags) const { return kernel::openat2(root, done, flags, kNoLinks); }
};

// Makes walk.name, the last component of walk.done. EEXIST is success: the caller opens it again.
long make_entry(Walk& walk, bool as_file) {
  walk.pop();
  Owned parent(walk.open_done(O_PATH | O_DIRECTORY));
  if (parent.get() < 0) return parent.get();
  long made;
  if (as_file) {
    made = raw::openat(parent.get(), walk.name,
                       O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (made >= 0) {
      raw::close(static_cast<int>(made));
      made = 0;
    }
  } else {
    made = raw::call(__NR_mkdirat, parent.get(), raw::ptr(walk.name), 0755);
  }
  if (!walk.push()) return -ENAMETOOLONG;
  return made == -EEXIST ? 0 : made;
}

// Opens walk.done, making it if it is missing and `missing` says so.
long open_or_make(Walk& walk, Missing missing) {
  // Twice: whoever takes away again what was just made gets an error, not a loop.
  for (int round = 0; round < 2; ++round) {
    const long fd = walk.open_done(O_PATH | O_NOFOLLOW);
    if (fd != -ENOENT || missing == Missing::kFail) return fd;
    if (const long made = make_entry(walk, missing == Missing::kMakeFile); made < 0) return made;
  }
  return walk.open_done(O_PATH | O_NOFOLLOW);
}

long open_by_walking(int root, const char* path, LookupRules rules) {
  Walk walk;
  if (!walk.start(root, path)) return -ENAMETOOLONG;
  while (true) {
    const long more = walk.next();
    if (more < 0) return more;
    if (more == 0) return walk.open_done(O_PATH);
    if (equals(walk.name, ".")) continue;
    if (equals(walk.name, "..")) {
      walk.pop();
      continue;
    }
    if (!walk.push()) return -ENAMETOOLONG;
    const bool last = walk.at_end();
    const Missing missing =
        last || rules.missing == Missing::kFail ? rules.missing : Missing::kMakeDirectory;
    Owned entry(open_or_make(walk, missing));
    if (entry.get() < 0) return entry.get();
    struct statx about {};
    if (const long result = kernel::statx(entry.get(), &about); result < 0) return result;
    if (kernel::is_link(about) && !(last && rules.last_not_followed)) {
      if (rules.no_links) return -ELOOP;
      walk.pop();
      if (const long result = walk.follow(entry.get()); result < 0) return result;
      continue;
    }
    if (last) return entry.release();
    if (!kernel::is_directory(about)) return -ENOTDIR;
  }
}

}  // namespace

long open_target(int root, const char* path, LookupRules rules) {
  const uint64_t flags = O_PATH | (rules.last_not_followed ? O_NOFOLLOW : 0U);
  const uint64_t resolve = kernel::kInRoot | (rules.no_links ? RESOLVE_NO_SYMLINKS : 0U);
  // The kernel alone does the usual case: everything is there.
  const long found = kernel::openat2(root, path, flags, resolve);
  if (found != -ENOENT || rules.missing == Missing::kFail) return found;
  return open_by_walking(root, path, rules);
}

long open_parent(int root, const char* path, const char** name) {
  size_t end = raw::length(path);
  while (end > 0 && path[end - 1] != '/')
    --end;
  *name = path + end;
  if (**name == '\0' || equals(*name, ".") || equals(*name, "..")) return -EINVAL;
  char directory[steps::kMaxPath];
  if (end >= sizeof directory) return -ENAMETOOLONG;
  __builtin_memcpy(directory, path, end);
  directory[end] = '\0';
  if (end == 0) {
    directory[0] = '.';
    directory[1] = '\0';
  }
  const long found = kernel::openat2(root, directory, O_PATH | O_DIRECTORY, kernel::kInRoot);
  if (found != -ENOENT) return found;
  Owned made(open_by_walking(root, directory, {.missing = Missing::kMakeDirectory}));
  if (made.get() < 0) return made.get();
  struct statx about {};
  if (const long result = kernel::statx(made.get(), &about); result < 0) return result;
  return kernel::is_directory(about) ? made.release() : -ENOTDIR;
}

}  // namespace vrun::rootfs
