#include "vm/vmm/fs_server.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstddef>
#include <cstring>
#include <string_view>
#include <utility>

#include <fcntl.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/xattr.h>
#include <unistd.h>

namespace vrun::vmm {
namespace {

constexpr std::uint32_t kMostWrite = 1 << 20;   // bytes of one request
constexpr std::uint32_t kMostNames = 64 << 10;  // bytes of names and attributes
constexpr std::uint32_t kOldestMinor = 31;      // 7.31: Linux 5.4, the first with virtiofs

int outcome(long result) {
  return result < 0 ? -errno : 0;
}

// Flags of open(2) that a guest may choose; O_APPEND is its kernel's own business, which sends
// offsets.
constexpr int kOpenFlags = O_ACCMODE | O_TRUNC | O_DSYNC | O_SYNC | O_NOATIME;

timespec time_of(std::uint64_t seconds, std::uint32_t nanoseconds, bool set, bool now) {
  if (!set) return {.tv_sec = 0, .tv_nsec = UTIME_OMIT};
  if (now) return {.tv_sec = 0, .tv_nsec = UTIME_NOW};
  return {.tv_sec = static_cast<time_t>(seconds), .tv_nsec = static_cast<long>(nanoseconds)};
}

}  // namespace

// One request on its way: the header and fixed arguments are copies, which the guest cannot change
// any more.
struct FsServer::Request {
  const Chain& chain;
  fuse_in_header header{};
  std::uint64_t written = 0;  // behind the answer's header

  std::uint64_t input_size() const { return chain.readable_bytes; }
  // A fixed argument behind the header.
  template <typename T>
  bool argument(T& value, std::uint64_t offset = 0) const {
    return read_value(chain.readable, sizeof header + offset, value);
  }
  // What comes behind the fixed arguments, `most` bytes at most.
  std::string rest(std::uint64_t offset, std::uint64_t most = kMostNames) const {
    const std::uint64_t start = sizeof header + offset;
    if (start >= input_size()) return {};
    std::string bytes(std::min(most, input_size() - start), '\0');
    copy_out(chain.readable, start, std::as_writable_bytes(std::span(bytes)));
    return bytes;
  }
  // `Count` names, each ended by a zero byte.
  template <std::size_t Count>
  bool names(std::uint64_t offset, std::array<std::string, Count>& out) const {
    const std::string bytes = rest(offset);
    std::size_t start = 0;
    for (std::string& name : out) {
      const std::size_t end = bytes.find('\0', start);
      if (end == bytes.npos) return false;
      name = bytes.substr(start, end - start);
      start = end + 1;
    }
    return true;
  }
  std::uint64_t room() const {
    const std::uint64_t all = chain.writable_bytes;
    return all > sizeof(fuse_out_header) ? all - sizeof(fuse_out_header) : 0;
  }
  int answer(std::span<const std::byte> bytes) {
    if (bytes.size() > room()) return -EINVAL;
    written = copy_in(chain.writable, sizeof(fuse_out_header), bytes);
    return 0;
  }
  template <typename T>
  int answer_value(const T& value) {
    return answer(std::as_bytes(std::span(&value, 1)));
  }
};

struct FsServer::Operation {
  std::uint32_t code;
  int (FsServer::*serve)(Request&);
  bool writes = false;  // refused where the share is read-only
  bool unanswered = false;
};

const FsServer::Operation FsServer::kOperations[] = {
    {FUSE_LOOKUP, &FsServer::look_up},
    {FUSE_FORGET, &FsServer::forget, false, true},
    {FUSE_GETATTR, &FsServer::get_attributes},
    {FUSE_SETATTR, &FsServer::set_attributes, true},
    {FUSE_READLINK, &FsServer::read_link},
    {FUSE_SYMLINK, &FsServer::make_symlink, true},
    {FUSE_MKNOD, &FsServer::make_node, true},
    {FUSE_MKDIR, &FsServer::make_directory, true},
    {FUSE_UNLINK, &FsServer::unlink, true},
    {FUSE_RMDIR, &FsServer::remove_directory, true},
    {FUSE_RENAME, &FsServer::rename, true},
    {FUSE_LINK, &FsServer::make_link, true},
    {FUSE_OPEN, &FsServer::open},
    {FUSE_READ, &FsServer::read},
    {FUSE_WRITE, &FsServer::write, true},
    {FUSE_STATFS, &FsServer::statistics},
    {FUSE_RELEASE, &FsServer::release},
    {FUSE_FSYNC, &FsServer::sync},
    {FUSE_SETXATTR, &FsServer::set_attribute, true},
    {FUSE_GETXATTR, &FsServer::get_attribute},
    {FUSE_LISTXATTR, &FsServer::list_attributes},
    {FUSE_REMOVEXATTR, &FsServer::remove_attribute, true},
    {FUSE_FLUSH, &FsServer::flush},
    {FUSE_INIT, &FsServer::initialise},
    {FUSE_OPENDIR, &FsServer::open_directory},
    {FUSE_READDIR, &FsServer::read_directory},
    {FUSE_RELEASEDIR, &FsServer::release},
    {FUSE_FSYNCDIR, &FsServer::sync},
    {FUSE_CREATE, &FsServer::create, true},
    {FUSE_DESTROY, &FsServer::destroy},
    {FUSE_BATCH_FORGET, &FsServer::forget_many, false, true},
    {FUSE_FALLOCATE, &FsServer::allocate, true},
    {FUSE_READDIRPLUS, &FsServer::read_directory_plus},
    {FUSE_RENAME2, &FsServer::rename_by_flags, true},
    {FUSE_LSEEK, &FsServer::seek},
    {FUSE_COPY_FILE_RANGE, &FsServer::copy_range, true},
    {FUSE_SYNCFS, &FsServer::sync_all},
};

std::uint32_t FsServer::serve(const Chain& chain) {
  Request request{.chain = chain};
  if (!read_value(chain.readable, 0, request.header)) return 0;
  const auto* operation =
      std::find_if(std::begin(kOperations), std::end(kOperations),
                   [&](const Operation& known) { return known.code == request.header.opcode; });
  int result = -ENOSYS;  // the guest's kernel then does without
  if (operation != std::end(kOperations)) {
    result = operation->writes && options_.read_only ? -EROFS : (this->*operation->serve)(request);
    if (operation->unanswered) return 0;
  }
  if (result != 0) request.written = 0;
  const fuse_out_header answer{
      .len = static_cast<std::uint32_t>(sizeof(fuse_out_header) + request.written),
      .error = result,
      .unique = request.header.unique};
  return write_value(chain.writable, 0, answer) ? answer.len : 0;
}

int FsServer::initialise(Request& request) {
  fuse_init_in asked;
  // Before 7.36 the structure was shorter.
  constexpr std::size_t kShort = 16;
  std::memset(&asked, 0, sizeof asked);
  if (copy_out(request.chain.readable, sizeof request.header,
               std::as_writable_bytes(std::span(&asked, 1))) < kShort)
    return -EINVAL;
  fuse_init_out given{};
  given.major = FUSE_KERNEL_VERSION;
  given.minor = 36;
  if (asked.major > FUSE_KERNEL_VERSION) return request.answer_value(given);  // it asks again
  if (asked.major < FUSE_KERNEL_VERSION || asked.minor < kOldestMinor) return -EPROTO;
  given.minor = std::min(asked.minor, given.minor);
  given.max_readahead = asked.max_readahead;
  constexpr std::uint32_t kWanted = FUSE_ASYNC_READ | FUSE_BIG_WRITES | FUSE_ATOMIC_O_TRUNC |
                                    FUSE_PARALLEL_DIROPS | FUSE_DO_READDIRPLUS |
                                    FUSE_READDIRPLUS_AUTO | FUSE_MAX_PAGES | FUSE_ASYNC_DIO;
  given.flags = asked.flags & kWanted;
  given.max_background = 64;
  given.congestion_threshold = 48;
  given.max_write = kMostWrite;
  given.max_pages = kMostWrite / 4096;
  given.time_gran = 1;
  share_.clear();
  return request.answer_value(given);
}

int FsServer::destroy(Request&) {
  share_.clear();
  return 0;
}

fuse_attr FsServer::attributes_of(const struct stat& facts) const {
  fuse_attr out{};
  out.ino = share_.inode_of(facts);
  out.size = static_cast<std::uint64_t>(facts.st_size);
  out.blocks = static_cast<std::uint64_t>(facts.st_blocks);
  out.atime = static_cast<std::uint64_t>(facts.st_atim.tv_sec);
  out.mtime = static_cast<std::uint64_t>(facts.st_mtim.tv_sec);
  out.ctime = static_cast<std::uint64_t>(facts.st_ctim.tv_sec);
  out.atimensec = static_cast<std::uint32_t>(facts.st_atim.tv_nsec);
  out.mtimensec = static_cast<std::uint32_t>(facts.st_mtim.tv_nsec);
  out.ctimensec = static_cast<std::uint32_t>(facts.st_ctim.tv_nsec);
  out.mode = facts.st_mode;
  out.nlink = static_cast<std::uint32_t>(facts.st_nlink);
  out.uid = facts.st_uid;
  out.gid = facts.st_gid;
  out.rdev = static_cast<std::uint32_t>(facts.st_rdev);
  out.blksize = static_cast<std::uint32_t>(facts.st_blksize);
  return out;
}

void FsServer::put_entry(const Share::Found& found, fuse_entry_out& out) const {
  out.nodeid = found.node;
  out.entry_valid = out.attr_valid = options_.cache_seconds;
  out.attr = attributes_of(found.facts);
}

int FsServer::answer_entry(Request& request, NodeId directory, const char* name) {
  const Share::Found found = share_.look_up(directory, name);
  if (found.error != 0) return -found.error;
  fuse_entry_out out{};
  put_entry(found, out);
  const int result = request.answer_value(out);
  if (result != 0) share_.forget(found.node, 1);  // the guest never heard of it
  return result;
}

int FsServer::look_up(Request& request) {
  std::array<std::string, 1> name;
  if (!request.names(0, name)) return -EINVAL;
  return answer_entry(request, request.header.nodeid, name[0].c_str());
}

int FsServer::forget(Request& request) {
  fuse_forget_in asked;
  if (request.argument(asked)) share_.forget(request.header.nodeid, asked.nlookup);
  return 0;
}

int FsServer::forget_many(Request& request) {
  fuse_batch_forget_in asked;
  if (!request.argument(asked)) return 0;
  fuse_forget_one one;
  for (std::uint64_t i = 0; i < asked.count; ++i) {
    if (!request.argument(one, sizeof asked + i * sizeof one)) return 0;
    share_.forget(one.nodeid, one.nlookup);
  }
  return 0;
}

int FsServer::get_attributes(Request& request) {
  const int file = share_.node(request.header.nodeid);
  if (file < 0) return -ESTALE;
  struct stat facts {};
  if (::fstatat(file, "", &facts, AT_EMPTY_PATH) != 0) return -errno;
  fuse_attr_out out{};
  out.attr_valid = options_.cache_seconds;
  out.attr = attributes_of(facts);
  return request.answer_value(out);
}

int FsServer::set_attributes(Request& request) {
  fuse_setattr_in asked;
  if (!request.argument(asked)) return -EINVAL;
  const int file = share_.node(request.header.nodeid);
  if (file < 0) return -ESTALE;
  const std::string link = std::to_string(file);
  if ((asked.valid & (FATTR_UID | FATTR_GID)) != 0) {
    const uid_t uid = (asked.valid & FATTR_UID) != 0 ? asked.uid : static_cast<uid_t>(-1);
    const gid_t gid = (asked.valid & FATTR_GID) != 0 ? asked.gid : static_cast<gid_t>(-1);
    if (::fchownat(file, "", uid, gid, AT_EMPTY_PATH) != 0) return -errno;
  }
  // After the owner, whose change takes away set-id bits.
  if ((asked.valid & FATTR_MODE) != 0 &&
      ::fchmodat(share_.links(), link.c_str(), asked.mode & 07777, 0) != 0)
    return -errno;
  if ((asked.valid & FATTR_SIZE) != 0) {
    const Fd opened(share_.open_node(request.header.nodeid, O_WRONLY));
    if (!opened) return opened.get();
    if (::ftruncate(opened.get(), static_cast<off_t>(asked.size)) != 0) return -errno;
  }
  if ((asked.valid & (FATTR_ATIME | FATTR_MTIME)) != 0) {
    const timespec times[] = {
        time_of(asked.atime, asked.atimensec, (asked.valid & FATTR_ATIME) != 0,
                (asked.valid & FATTR_ATIME_NOW) != 0),
        time_of(asked.mtime, asked.mtimensec, (asked.valid & FATTR_MTIME) != 0,
                (asked.valid & FATTR_MTIME_NOW) != 0)};
    if (::utimensat(share_.links(), link.c_str(), times, 0) != 0) return -errno;
  }
  return get_attributes(request);
}

int FsServer::read_link(Request& request) {
  const int file = share_.node(request.header.nodeid);
  if (file < 0) return -ESTALE;
  std::array<char, PATH_MAX> text;
  const ssize_t size = ::readlinkat(file, "", text.data(), text.size());
  if (size < 0) return -errno;
  return request.answer(std::as_bytes(std::span(text).first(static_cast<std::size_t>(size))));
}

int FsServer::give(Request& request, int directory, int file, std::uint32_t mode) {
  struct stat parent {};
  if (::fstat(directory, &parent) != 0) return -errno;
  const gid_t gid = (parent.st_mode & S_ISGID) != 0 ? static_cast<gid_t>(-1) : request.header.gid;
  if (::fchownat(file, "", request.header.uid, gid, AT_EMPTY_PATH) != 0) return -errno;
  if ((mode & (S_ISUID | S_ISGID)) == 0) return 0;
  return outcome(::fchmodat(share_.links(), std::to_string(file).c_str(), mode & 07777, 0));
}

int FsServer::give_named(Request& request, int directory, const char* name, std::uint32_t mode) {
  // Others may write the directory, too: a link that took the name meanwhile is not followed.
  const Fd made(::openat(directory, name, O_PATH | O_NOFOLLOW | O_CLOEXEC));
  if (!made) return -errno;
  return give(request, directory, made.get(), mode);
}

int FsServer::make_node(Request& request) {
  fuse_mknod_in asked;
  std::array<std::string, 1> name;
  if (!request.argument(asked) || !request.names(sizeof asked, name)) return -EINVAL;
  const int directory = share_.node(request.header.nodeid);
  if (directory < 0) return -ENOENT;
  if (name[0].find('/') != std::string::npos) return -EINVAL;
  if (::mknodat(directory, name[0].c_str(), asked.mode, asked.rdev) != 0) return -errno;
  if (const int given = give_named(request, directory, name[0].c_str(), asked.mode); given != 0)
    return given;
  return answer_entry(request, request.header.nodeid, name[0].c_str());
}

int FsServer::make_directory(Request& request) {
  fuse_mkdir_in asked;
  std::array<std::string, 1> name;
  if (!request.argument(asked) || !request.names(sizeof asked, name)) return -EINVAL;
  const int directory = share_.node(request.header.nodeid);
  if (directory < 0) return -ENOENT;
  if (name[0].find('/') != std::string::npos) return -EINVAL;
  if (::mkdirat(directory, name[0].c_str(), asked.mode & 07777) != 0) return -errno;
  if (const int given = give_named(request, directory, name[0].c_str(), 0); given != 0)
    return given;
  return answer_entry(request, request.header.nodeid, name[0].c_str());
}

int FsServer::make_symlink(Request& request) {
  std::array<std::string, 2> names;  // the new name, and what it says
  if (!request.names(0, names)) return -EINVAL;
  const int directory = share_.node(request.header.nodeid);
  if (directory < 0) return -ENOENT;
  if (names[0].find('/') != std::string::npos) return -EINVAL;
  if (::symlinkat(names[1].c_str(), directory, names[0].c_str()) != 0) return -errno;
  if (const int given = give_named(request, directory, names[0].c_str(), 0); given != 0)
    return given;
  return answer_entry(request, request.header.nodeid, names[0].c_str());
}

int FsServer::make_link(Request& request) {
  fuse_link_in asked;
  std::array<std::string, 1> name;
  if (!request.argument(asked) || !request.names(sizeof asked, name)) return -EINVAL;
  const int directory = share_.node(request.header.nodeid);
  if (directory < 0) return -ENOENT;
  if (share_.node(asked.oldnodeid) < 0) return -ESTALE;
  if (name[0].find('/') != std::string::npos) return -EINVAL;
  // AT_EMPTY_PATH would need CAP_DAC_READ_SEARCH outside; the link in /proc does not.
  if (::linkat(share_.links(), share_.link_name(asked.oldnodeid).c_str(), directory,
               name[0].c_str(), AT_SYMLINK_FOLLOW) != 0)
    return -errno;
  return answer_entry(request, request.header.nodeid, name[0].c_str());
}

int FsServer::unlink(Request& request) {
  std::array<std::string, 1> name;
  if (!request.names(0, name) || name[0].find('/') != std::string::npos) return -EINVAL;
  const int directory = share_.node(request.header.nodeid);
  if (directory < 0) return -ENOENT;
  share_.will_lose_name(request.header.nodeid, name[0].c_str());
  const int result = outcome(::unlinkat(directory, name[0].c_str(), 0));
  if (result != 0) share_.has_name(request.header.nodeid, name[0].c_str());
  return result;
}

int FsServer::remove_directory(Request& request) {
  std::array<std::string, 1> name;
  if (!request.names(0, name) || name[0].find('/') != std::string::npos) return -EINVAL;
  const int directory = share_.node(request.header.nodeid);
  if (directory < 0) return -ENOENT;
  return outcome(::unlinkat(directory, name[0].c_str(), AT_REMOVEDIR));
}

int FsServer::rename_with(Request& request, NodeId to, unsigned flags, std::size_t names_at) {
  std::array<std::string, 2> names;
  if (!request.names(names_at, names)) return -EINVAL;
  const int from = share_.node(request.header.nodeid);
  const int target = share_.node(to);
  if (from < 0 || target < 0) return -ENOENT;
  for (const std::string& name : names) {
    if (name.empty() || name == "." || name == ".." || name.find('/') != std::string::npos)
      return -EINVAL;
  }
  share_.will_lose_name(request.header.nodeid, names[0].c_str());
  share_.will_lose_name(to, names[1].c_str());
  const int result = outcome(::renameat2(from, names[0].c_str(), target, names[1].c_str(), flags));
  // Also where nothing was renamed, or each for the other.
  share_.has_name(request.header.nodeid, names[0].c_str());
  share_.has_name(to, names[1].c_str());
  return result;
}

int FsServer::rename(Request& request) {
  fuse_rename_in asked;
  if (!request.argument(asked)) return -EINVAL;
  return rename_with(request, asked.newdir, 0, sizeof asked);
}

int FsServer::rename_by_flags(Request& request) {
  fuse_rename2_in asked;
  if (!request.argument(asked)) return -EINVAL;
  return rename_with(request, asked.newdir, asked.flags, sizeof asked);
}

int FsServer::open(Request& request) {
  fuse_open_in asked;
  if (!request.argument(asked)) return -EINVAL;
  const int flags = static_cast<int>(asked.flags);
  if (options_.read_only && ((flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC) != 0))
    return -EROFS;
  const int opened = share_.open_node(request.header.nodeid, flags & kOpenFlags);
  if (opened < 0) return opened;
  fuse_open_out out{};
  out.fh = share_.keep(Fd(opened), request.header.nodeid);
  const int result = request.answer_value(out);
  if (result != 0) share_.drop(out.fh);
  return result;
}

int FsServer::open_directory(Request& request) {
  const int directory = share_.node(request.header.nodeid);
  if (directory < 0) return -ENOENT;
  const int opened = ::openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (opened < 0) return -errno;
  fuse_open_out out{};
  out.fh = share_.keep_directory(Fd(opened));
  const int result = request.answer_value(out);
  if (result != 0) share_.drop(out.fh);
  return result;
}

int FsServer::create(Request& request) {
  fuse_create_in asked;
  std::array<std::string, 1> name;
  if (!request.argument(asked) || !request.names(sizeof asked, name)) return -EINVAL;
  const int directory = share_.node(request.header.nodeid);
  if (directory < 0) return -ENOENT;
  if (name[0].empty() || name[0].find('/') != std::string::npos) return -EINVAL;
  const int flags = static_cast<int>(asked.flags) & (kOpenFlags & ~O_TRUNC);
  // Ours, or not at all: a file that another made meanwhile is opened like any, below.
  Fd made(::openat(directory, name[0].c_str(),
                   flags | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK,
                   asked.mode & 07777));
  const bool is_new = static_cast<bool>(made);
  if (!is_new && (errno != EEXIST || (asked.flags & O_EXCL) != 0)) return -errno;
  if (is_new) {
    if (const int given = give(request, directory, made.get(), asked.mode); given != 0)
      return given;
  }
  const Share::Found found = share_.look_up(request.header.nodeid, name[0].c_str());
  if (found.error != 0) return -found.error;
  if (!is_new) {
    const int opened =
        share_.open_node(found.node, flags | static_cast<int>(asked.flags & O_TRUNC));
    if (opened < 0) {
      share_.forget(found.node, 1);
      return opened;
    }
    made = Fd(opened);
  }
  struct {
    fuse_entry_out entry{};
    fuse_open_out open{};
  } out;
  put_entry(found, out.entry);
  out.open.fh = share_.keep(std::move(made), found.node);
  const int result = request.answer_value(out);
  if (result == 0) return 0;
  share_.drop(out.open.fh);
  share_.forget(found.node, 1);
  return result;
}

int FsServer::read(Request& request) {
  fuse_read_in asked;
  if (!request.argument(asked)) return -EINVAL;
  const int file = share_.handle(asked.fh);
  if (file < 0) return -EBADF;
  const std::uint64_t count = std::min<std::uint64_t>(asked.size, request.room());
  const std::vector<iovec> to = part_of(request.chain.writable, sizeof(fuse_out_header), count);
  if (to.empty()) return 0;
  const ssize_t got =
      ::preadv(file, to.data(), static_cast<int>(std::min<std::size_t>(to.size(), IOV_MAX)),
               static_cast<off_t>(asked.offset));
  if (got < 0) return -errno;
  request.written = static_cast<std::uint64_t>(got);
  return 0;
}

int FsServer::write(Request& request) {
  fuse_write_in asked;
  if (!request.argument(asked)) return -EINVAL;
  const int file = share_.handle(asked.fh);
  if (file < 0) return -EBADF;
  constexpr std::uint64_t kStart = sizeof(fuse_in_header) + sizeof asked;
  if (asked.size > kMostWrite || kStart + asked.size > request.input_size()) return -EINVAL;
  const std::vector<iovec> from = part_of(request.chain.readable, kStart, asked.size);
  fuse_write_out out{};
  if (!from.empty()) {
    const ssize_t put =
        ::pwritev(file, from.data(), static_cast<int>(std::min<std::size_t>(from.size(), IOV_MAX)),
                  static_cast<off_t>(asked.offset));
    if (put < 0) return -errno;
    out.size = static_cast<std::uint32_t>(put);
  }
  return request.answer_value(out);
}

int FsServer::release(Request& request) {
  fuse_release_in asked;
  if (!request.argument(asked)) return -EINVAL;
  share_.drop(asked.fh);
  return 0;
}

int FsServer::flush(Request& request) {
  fuse_flush_in asked;
  if (!request.argument(asked)) return -EINVAL;
  const int file = share_.handle(asked.fh);
  if (file < 0) return -EBADF;
  // Closing a copy is what brings out delayed write errors of network file systems.
  const int copy = ::fcntl(file, F_DUPFD_CLOEXEC, 3);
  return copy < 0 ? -errno : outcome(::close(copy));
}

int FsServer::sync(Request& request) {
  fuse_fsync_in asked;
  if (!request.argument(asked)) return -EINVAL;
  const int file = share_.handle(asked.fh);
  if (file < 0) return -EBADF;
  return outcome((asked.fsync_flags & FUSE_FSYNC_FDATASYNC) != 0 ? ::fdatasync(file)
                                                                 : ::fsync(file));
}

int FsServer::sync_all(Request& request) {
  const Fd opened(share_.open_node(request.header.nodeid, O_RDONLY));
  if (!opened) return -EBADF;
  return outcome(::syncfs(opened.get()));
}

int FsServer::read_directory(Request& request) {
  return list(request, false);
}

int FsServer::read_directory_plus(Request& request) {
  return list(request, true);
}

int FsServer::list(Request& request, bool with_attributes) {
  fuse_read_in asked;
  if (!request.argument(asked)) return -EINVAL;
  DirectoryStream* stream = share_.directory(asked.fh);
  if (stream == nullptr) return -EBADF;
  if (const int error = stream->seek(asked.offset); error != 0) return -error;
  const std::uint64_t room = std::min<std::uint64_t>({asked.size, request.room(), kMostNames});
  const std::size_t fixed = with_attributes ? FUSE_NAME_OFFSET_DIRENTPLUS : FUSE_NAME_OFFSET;

  std::string out;
  std::vector<NodeId> counted;
  int error = 0;
  for (; const struct dirent64* entry = stream->current(error); stream->advance()) {
    const std::string_view name(entry->d_name);
    const std::size_t size = (fixed + name.size() + 7) & ~std::size_t{7};
    if (out.size() + size > room) break;
    fuse_entry_out attributes{};
    if (with_attributes && name != "." && name != "..") {
      const Share::Found found = share_.look_up(request.header.nodeid, entry->d_name);
      if (found.error == ENOENT) continue;  // gone meanwhile
      if (found.error == 0) {               // else the guest asks for it by itself
        put_entry(found, attributes);
        counted.push_back(found.node);
      }
    }
    const fuse_dirent plain{.ino = entry->d_ino,
                            .off = static_cast<std::uint64_t>(entry->d_off),
                            .namelen = static_cast<std::uint32_t>(name.size()),
                            .type = entry->d_type};
    const std::size_t start = out.size();
    if (with_attributes) out.append(reinterpret_cast<const char*>(&attributes), sizeof attributes);
    out.append(reinterpret_cast<const char*>(&plain), FUSE_NAME_OFFSET);
    out.append(name).resize(start + size);
  }
  if (error != 0 && out.empty()) return -error;
  const int result = request.answer(std::as_bytes(std::span(out)));
  if (result != 0) {
    for (const NodeId node : counted)
      share_.forget(node, 1);
  }
  return result;
}

int FsServer::statistics(Request& request) {
  const int file = share_.node(request.header.nodeid);
  struct statvfs facts {};
  if (::fstatvfs(file < 0 ? share_.node(kRootNode) : file, &facts) != 0) return -errno;
  fuse_statfs_out out{};
  out.st.blocks = facts.f_blocks;
  out.st.bfree = facts.f_bfree;
  out.st.bavail = facts.f_bavail;
  out.st.files = facts.f_files;
  out.st.ffree = facts.f_ffree;
  out.st.bsize = static_cast<std::uint32_t>(facts.f_bsize);
  out.st.namelen = static_cast<std::uint32_t>(facts.f_namemax);
  out.st.frsize = static_cast<std::uint32_t>(facts.f_frsize);
  return request.answer_value(out);
}

namespace {

// Extended attributes have no calls that take a directory's descriptor (before Linux 6.13), so
// the process stands in /proc/self/fd, and the node's number is a path.
constexpr std::size_t kMostAttribute = 64 << 10;  // XATTR_SIZE_MAX

}  // namespace

int FsServer::set_attribute(Request& request) {
  struct {
    std::uint32_t size, flags;
  } asked;
  if (!request.argument(asked)) return -EINVAL;
  if (share_.node(request.header.nodeid) < 0) return -ESTALE;
  const std::string bytes = request.rest(sizeof asked, kMostAttribute + 256);
  const std::size_t end = bytes.find('\0');
  if (end == bytes.npos || bytes.size() - end - 1 < asked.size) return -EINVAL;
  return outcome(::setxattr(share_.link_name(request.header.nodeid).c_str(), bytes.c_str(),
                            bytes.data() + end + 1, asked.size, static_cast<int>(asked.flags)));
}

int FsServer::get_attribute(Request& request) {
  fuse_getxattr_in asked;
  std::array<std::string, 1> name;
  if (!request.argument(asked) || !request.names(sizeof asked, name)) return -EINVAL;
  if (share_.node(request.header.nodeid) < 0) return -ESTALE;
  std::string value(std::min<std::size_t>(asked.size, kMostAttribute), '\0');
  const ssize_t size = ::getxattr(share_.link_name(request.header.nodeid).c_str(), name[0].c_str(),
                                  value.data(), value.size());
  if (size < 0) return -errno;
  if (asked.size == 0)
    return request.answer_value(
        fuse_getxattr_out{.size = static_cast<std::uint32_t>(size), .padding = 0});
  return request.answer(std::as_bytes(std::span(value).first(static_cast<std::size_t>(size))));
}

int FsServer::list_attributes(Request& request) {
  fuse_getxattr_in asked;
  if (!request.argument(asked)) return -EINVAL;
  if (share_.node(request.header.nodeid) < 0) return -ESTALE;
  std::string names(std::min<std::size_t>(asked.size, kMostAttribute), '\0');
  const ssize_t size =
      ::listxattr(share_.link_name(request.header.nodeid).c_str(), names.data(), names.size());
  if (size < 0) return -errno;
  if (asked.size == 0)
    return request.answer_value(
        fuse_getxattr_out{.size = static_cast<std::uint32_t>(size), .padding = 0});
  return request.answer(std::as_bytes(std::span(names).first(static_cast<std::size_t>(size))));
}

int FsServer::remove_attribute(Request& request) {
  std::array<std::string, 1> name;
  if (!request.names(0, name)) return -EINVAL;
  if (share_.node(request.header.nodeid) < 0) return -ESTALE;
  return outcome(::removexattr(share_.link_name(request.header.nodeid).c_str(), name[0].c_str()));
}

int FsServer::allocate(Request& request) {
  fuse_fallocate_in asked;
  if (!request.argument(asked)) return -EINVAL;
  const int file = share_.handle(asked.fh);
  if (file < 0) return -EBADF;
  return outcome(::fallocate(file, static_cast<int>(asked.mode), static_cast<off_t>(asked.offset),
                             static_cast<off_t>(asked.length)));
}

int FsServer::seek(Request& request) {
  fuse_lseek_in asked;
  if (!request.argument(asked)) return -EINVAL;
  const int file = share_.handle(asked.fh);
  if (file < 0) return -EBADF;
  const off_t at = ::lseek(file, static_cast<off_t>(asked.offset), static_cast<int>(asked.whence));
  if (at < 0) return -errno;
  return request.answer_value(fuse_lseek_out{.offset = static_cast<std::uint64_t>(at)});
}

int FsServer::copy_range(Request& request) {
  fuse_copy_file_range_in asked;
  if (!request.argument(asked)) return -EINVAL;
  const int from = share_.handle(asked.fh_in);
  const int to = share_.handle(asked.fh_out);
  if (from < 0 || to < 0) return -EBADF;
  off64_t from_at = static_cast<off64_t>(asked.off_in);
  off64_t to_at = static_cast<off64_t>(asked.off_out);
  // Bounded, so that one request cannot keep the others waiting.
  const std::size_t count = std::min<std::uint64_t>(asked.len, 64 << 20);
  const ssize_t copied = ::copy_file_range(from, &from_at, to, &to_at, count, 0);
  if (copied < 0) return -errno;
  return request.answer_value(
      fuse_write_out{.size = static_cast<std::uint32_t>(copied), .padding = 0});
}

}  // namespace vrun::vmm
