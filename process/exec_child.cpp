#include "process/exec_child.hpp"

#include <asm/errno.h>
#include <asm/signal.h>
#include <asm/stat.h>
#include <asm/statfs.h>
#include <linux/close_range.h>
#include <linux/fcntl.h>
#include <linux/openat2.h>

#include "process/credentials_child.hpp"

namespace vrun::process {
namespace {

constexpr uint32_t kTypeMask = 0170000;
constexpr uint32_t kDirectory = 0040000;
constexpr uint32_t kRegular = 0100000;
constexpr long kNoexec = 0x0008;  // ST_NOEXEC of statfs(2)
constexpr long kExecute = 1;      // X_OK of access(2)

long open_beneath(int root, const char* path, uint64_t flags) {
  open_how how{};
  how.flags = flags | O_CLOEXEC;
  // no magic links: /proc/self/fd/N would lead out of the root (CVE-2024-21626)
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  return raw::call(__NR_openat2, root, raw::ptr(path), raw::ptr(&how), sizeof(how));
}

// The directory that paths of the container start at: its root, as prepared or as entered.
struct RootDir {
  explicit RootDir(const steps::Context& context) : fd(context.root_fd), owned(false) {
    if (fd >= 0) return;
    fd = static_cast<int>(raw::openat(AT_FDCWD, "/", O_PATH | O_DIRECTORY | O_CLOEXEC));
    owned = true;
  }
  RootDir(const RootDir&) = delete;
  RootDir& operator=(const RootDir&) = delete;
  ~RootDir() {
    if (owned && fd >= 0) raw::close(fd);
  }
  int fd;
  bool owned;
};

// ---- working directory ----

// Makes the last part of `path` in its parent, which exists.
long make_one(int root, char* path, size_t end) {
  size_t slash = end;
  while (slash > 0 && path[slash - 1] != '/')
    --slash;
  const char* name = path + slash;
  char parent[steps::kMaxPath];
  for (size_t i = 0; i < slash; ++i)
    parent[i] = path[i];
  parent[slash] = '\0';
  const long dir = open_beneath(root, slash == 0 ? "/" : parent, O_PATH | O_DIRECTORY);
  if (dir < 0) return dir;
  const long made = raw::call(__NR_mkdirat, dir, raw::ptr(name), 0755);
  raw::close(static_cast<int>(dir));
  return made == -EEXIST ? 0 : made;
}

// getcwd(2) answers "(unreachable)/..." for a directory outside the root
long check_inside() {
  char where[steps::kMaxPath];
  where[0] = '\0';
  const long bytes = raw::call(__NR_getcwd, raw::ptr(where), sizeof(where));
  if (bytes < 0) return bytes;
  return where[0] == '/' ? 0 : -EXDEV;
}

long enter(steps::Context& context, const char* path) {
  const RootDir root(context);
  if (root.fd < 0) return root.fd;
  const long dir = open_beneath(root.fd, path, O_PATH | O_DIRECTORY);
  if (dir < 0) return dir;
  const long entered = raw::call(__NR_fchdir, dir);
  raw::close(static_cast<int>(dir));
  return entered < 0 ? entered : check_inside();
}

// ---- HOME ----

// Reads a file through a small buffer, byte by byte.
struct Reader {
  explicit Reader(int from) : fd(from) {}
  int fd;
  size_t at = 0, have = 0;
  char buffer[1024];

  int next() {
    if (at == have) {
      const long got = raw::read(fd, buffer, sizeof(buffer));
      if (got <= 0) return -1;
      at = 0;
      have = static_cast<size_t>(got);
    }
    return static_cast<unsigned char>(buffer[at++]);
  }
};

// One line of passwd(5): name:password:uid:gid:comment:directory:shell.
struct PasswdLine {
  uint64_t uid = 0;
  uint32_t uid_digits = 0;
  bool uid_valid = true;
  char directory[steps::kMaxPath];
  uint32_t directory_bytes = 0;
  bool directory_fits = true;

  void take(uint32_t field, int c) {
    if (field == 2) {
      if (c < '0' || c > '9' || ++uid_digits > 10) uid_valid = false;
      if (uid_valid) uid = uid * 10 + static_cast<uint64_t>(c - '0');
    }
    if (field != 5) return;
    if (c == '\0' || directory_bytes + 1 >= sizeof(directory)) {
      directory_fits = false;
    } else {
      directory[directory_bytes++] = static_cast<char>(c);
    }
  }
  bool is(uint32_t wanted, uint32_t fields) const {
    return fields >= 5 && uid_valid && uid_digits > 0 && uid == wanted && directory_fits &&
           directory_bytes > 0;
  }
};

// Answers false at the end of the file.
bool read_line(Reader& reader, PasswdLine& line, uint32_t& fields) {
  fields = 0;
  int c = reader.next();
  if (c < 0) return false;
  for (; c >= 0 && c != '\n'; c = reader.next()) {
    if (c == ':') {
      ++fields;
    } else {
      line.take(fields, c);
    }
  }
  return true;
}

// Longest /etc/passwd that is searched: a hostile image must not keep the stage reading for ever.
constexpr uint32_t kMaxLines = 65536;

void search_home(int fd, const steps::HomeArgs& args) {
  constexpr uint32_t kPrefix = 5;  // "HOME="
  Reader reader(fd);
  for (uint32_t n = 0; n < kMaxLines; ++n) {
    PasswdLine line;
    uint32_t fields = 0;
    if (!read_line(reader, line, fields)) return;
    if (!line.is(args.uid, fields) || kPrefix + line.directory_bytes + 1 > args.bytes) continue;
    for (uint32_t i = 0; i < line.directory_bytes; ++i)
      args.value[kPrefix + i] = line.directory[i];
    args.value[kPrefix + line.directory_bytes] = '\0';
    return;
  }
}

// ---- program ----

bool has_slash(const char* text) {
  for (; *text != '\0'; ++text) {
    if (*text == '/') return true;
  }
  return false;
}

long file_type(const char* path, uint32_t& type) {
  struct stat status {};
  const long result = raw::call(__NR_newfstatat, AT_FDCWD, raw::ptr(path), raw::ptr(&status), 0);
  type = static_cast<uint32_t>(status.st_mode) & kTypeMask;
  return result;
}

bool on_noexec_mount(const char* path) {
  struct statfs status {};
  return raw::call(__NR_statfs, raw::ptr(path), raw::ptr(&status)) == 0 &&
         (status.f_flags & kNoexec) != 0;
}

// Like Go's exec.LookPath, whose words the parent repeats: a regular file that may be executed.
long check_executable(steps::Context& context, const char* path, bool explain) {
  uint32_t type = 0;
  long result = file_type(path, type);
  if (result < 0) {
    if (explain) context.say("stat");
    return result;
  }
  if (type == kDirectory) return -EISDIR;
  if (type != kRegular) return -EACCES;
  // with the effective ids and capabilities, which are by now those of the program
  result = raw::call(__NR_faccessat2, AT_FDCWD, raw::ptr(path), kExecute, AT_EACCESS);
  if (result < 0 && explain && on_noexec_mount(path)) context.say("noexec");
  return result;
}

long keep_found(steps::Context& context, const char* path) {
  const size_t bytes = raw::length(path);
  if (bytes >= steps::kMaxPath) return -ENAMETOOLONG;
  char* found = context.program->found_program;
  for (size_t i = 0; i <= bytes; ++i)
    found[i] = path[i];
  return 0;
}

// Puts "directory/name" together; answers false when it does not fit.
bool join(char (&out)[steps::kMaxPath], const char* directory, size_t bytes, const char* name) {
  const size_t name_bytes = raw::length(name);
  if (bytes + 1 + name_bytes + 1 > sizeof(out)) return false;
  size_t at = 0;
  for (; at < bytes; ++at)
    out[at] = directory[at];
  out[at++] = '/';
  for (size_t i = 0; i <= name_bytes; ++i)
    out[at + i] = name[i];
  return true;
}

long search(steps::Context& context, const char* search_path, const char* name) {
  char candidate[steps::kMaxPath];
  const char* rest = search_path;
  while (rest != nullptr && *name != '\0') {
    size_t bytes = 0;
    while (rest[bytes] != '\0' && rest[bytes] != ':')
      ++bytes;
    // an entry that is empty or relative means the working directory: like Go, never search there
    if (rest[0] == '/' && join(candidate, rest, bytes, name) &&
        check_executable(context, candidate, false) == 0)
      return keep_found(context, candidate);
    rest = rest[bytes] == ':' ? rest + bytes + 1 : nullptr;
  }
  return -ENOENT;
}

long find(steps::Context& context, const steps::ExecArgs& args) {
  const char* name = args.argv[0];
  if (!has_slash(name)) return search(context, args.search_path, name);
  const long result = check_executable(context, name, true);
  return result < 0 ? result : keep_found(context, name);
}

// The path and the head of the file that would not execute, for the parent to explain.
void note_file(steps::Context& context, const char* path) {
  context.note_bytes = 0;
  context.say_bytes(path, raw::length(path) + 1);
  const long fd = raw::openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return;
  char head[steps::kMaxMessageText];
  const long got = raw::read(static_cast<int>(fd), head, sizeof(head));
  raw::close(static_cast<int>(fd));
  if (got > 0) context.say_bytes(head, static_cast<size_t>(got));
}

}  // namespace

long make_cwd(steps::Context& context, const steps::ChdirArgs& args) {
  char path[steps::kMaxPath];
  const size_t bytes = raw::length(args.path);
  if (bytes >= sizeof(path)) return -ENAMETOOLONG;
  const RootDir root(context);
  if (root.fd < 0) return root.fd;
  const long there = open_beneath(root.fd, args.path, O_PATH);
  if (there >= 0) raw::close(static_cast<int>(there));
  if (there != -ENOENT) return 0;  // what is wrong with it is for kChdir to say
  for (size_t i = 0; i <= bytes; ++i) {
    const bool ends_part = i > 0 && (args.path[i] == '/' || args.path[i] == '\0');
    if (ends_part && path[i - 1] != '/') {
      path[i] = '\0';
      const long made = make_one(root.fd, path, i);
      if (made < 0) return made;
    }
    path[i] = args.path[i];
  }
  return 0;
}

long chdir(steps::Context& context, const steps::ChdirArgs& args) {
  if (args.turn == steps::ChdirTurn::kLast && context.cwd_entered) return 0;
  const long result = enter(context, args.path);
  if (args.turn != steps::ChdirTurn::kFirst) return result;
  context.cwd_entered = result == 0;
  if (result == -EACCES) return 0;
  return result;
}

long home(steps::Context& context, const steps::HomeArgs& args) {
  const RootDir root(context);
  if (root.fd < 0) return root.fd;
  // without blocking: /etc/passwd of an image may be a fifo
  const long fd = open_beneath(root.fd, "/etc/passwd", O_RDONLY | O_NONBLOCK | O_NOCTTY);
  if (fd < 0) return 0;  // images without one are common: HOME stays "/"
  search_home(static_cast<int>(fd), args);
  raw::close(static_cast<int>(fd));
  return 0;
}

long stdio(steps::Context&, const steps::StdioArgs& args) {
  // lifted above 2 first, so that no source is overwritten before it is copied
  int source[3] = {args.in, args.out, args.err};
  for (int target = 0; target < 3; ++target) {
    if (source[target] < 0 || source[target] > 2 || source[target] == target) continue;
    const long lifted = raw::call(__NR_fcntl, source[target], F_DUPFD_CLOEXEC, 3);
    if (lifted < 0) return lifted;
    source[target] = static_cast<int>(lifted);
  }
  for (int target = 0; target < 3; ++target) {
    if (source[target] < 0) continue;
    // dup3 refuses equal numbers; what has to be done there is to let it survive exec
    const long result = source[target] == target ? raw::call(__NR_fcntl, target, F_SETFD, 0)
                                                 : raw::call(__NR_dup3, source[target], target, 0);
    if (result < 0) return result;
  }
  return 0;
}

long reset_signals(steps::Context&) {
  struct Action {  // struct kernel_sigaction (rt_sigaction(2))
    void* handler;
    unsigned long flags;
    void* restorer;
    uint64_t mask;
  };
  const Action defaults{};
  constexpr long kLastSignal = 64;
  for (long signal = 1; signal <= kLastSignal; ++signal) {
    if (signal == SIGKILL || signal == SIGSTOP) continue;  // cannot be changed
    const long result =
        raw::call(__NR_rt_sigaction, signal, raw::ptr(&defaults), 0, sizeof(uint64_t));
    if (result < 0) return result;
  }
  const uint64_t none = 0;
  return raw::call(__NR_rt_sigprocmask, SIG_SETMASK, raw::ptr(&none), 0, sizeof(none));
}

long close_descriptors(steps::Context&, const steps::CloseDescriptorsArgs& args) {
  const long closed = raw::call(__NR_close_range, args.keep_from, ~0U, CLOSE_RANGE_CLOEXEC);
  if (closed < 0) return closed;
  for (uint32_t i = 0; i < args.handed.count; ++i) {
    const long kept = raw::call(__NR_fcntl, args.handed.data[i], F_SETFD, 0);
    if (kept < 0) return kept;
  }
  return 0;
}

long find_program(steps::Context& context, const steps::ExecArgs& args) {
  // what may be executed is judged with the capabilities that the program will have
  CapabilitySets sets{};
  long result = read_capabilities(sets);
  if (result < 0) return result;
  const CapabilitySets reduced{args.effective & sets.permitted, sets.permitted, sets.inheritable};
  result = write_capabilities(reduced);
  if (result < 0) return result;
  const long found = find(context, args);
  result = write_capabilities(sets);
  if (result < 0) return result;
  return found;
}

long exec(steps::Context& context, const steps::ExecArgs& args) {
  const char* path = args.path != nullptr ? args.path : context.program->found_program;
  const long result =
      raw::call(__NR_execve, raw::ptr(path), raw::ptr(args.argv), raw::ptr(args.envp));
  note_file(context, path);
  return result;
}

}  // namespace vrun::process
