#include "engine/view/fuse.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <linux/fuse.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

namespace vrun::view {
namespace {

constexpr std::uint64_t kForEver = 3600;  // seconds: names never change
// sendfile(2) and splice(2) go through the page cache whatever a file's flags say, and end at the
// size that was told last; a short read corrects it downwards. So every open is told a size above
// what there can be: whole pages, as of files in sysfs, which programs know not to believe.
constexpr std::uint64_t kPage = 4096;
constexpr std::size_t kMostOpen = 256;  // a guest may open any number; older ones are made again
constexpr std::uint64_t kFirstFile = FUSE_ROOT_ID + 1;

bool is_file(std::uint64_t node) {
  return node >= kFirstFile && node < kFirstFile + kFiles.size();
}

fuse_attr attributes(std::uint64_t node, Uid uid, Gid gid, std::uint64_t size) {
  fuse_attr attr{};
  attr.ino = node;
  attr.mode = is_file(node) ? S_IFREG | 0444 : S_IFDIR | 0555;
  attr.size = size;
  attr.mtime = attr.ctime = attr.atime = static_cast<std::uint64_t>(::time(nullptr));
  attr.nlink = 1;
  attr.uid = uid.value;
  attr.gid = gid.value;
  attr.blksize = 4096;
  return attr;
}

template <typename T>
T take(const char* body, std::size_t count) {
  T value{};
  std::memcpy(&value, body, std::min(count, sizeof value));
  return value;
}

}  // namespace

void FuseServer::answer(std::uint64_t unique, int error, const void* bytes,
                        std::size_t count) const {
  fuse_out_header header{};
  header.len = static_cast<std::uint32_t>(sizeof header + count);
  header.error = -error;
  header.unique = unique;
  const iovec parts[2] = {{&header, sizeof header}, {const_cast<void*>(bytes), count}};
  // ENOENT: the reader was killed meanwhile, or a predecessor had answered.
  if (::writev(shared_.fuse, parts, count > 0 ? 2 : 1) < 0) return;
}

std::uint64_t FuseServer::size_of(std::uint64_t node) const {
  if (!is_file(node)) return 0;
  const File file = kFiles[node - kFirstFile].file;
  const bool grows = file == File::kStat || file == File::kCpuinfo;  // with the processors
  constexpr std::uint64_t kRoom = 512;
  const std::uint64_t bytes = grows ? render_(file).size() + kRoom : 0;
  return (bytes / kPage + 1) * kPage;
}

void FuseServer::lookup(std::uint64_t unique, std::uint64_t parent, const char* name,
                        std::size_t room) const {
  const std::string_view wanted(name, ::strnlen(name, room));
  for (std::size_t i = 0; i < kFiles.size(); ++i) {
    if (parent != FUSE_ROOT_ID || wanted != kFiles[i].name) continue;
    fuse_entry_out entry{};
    entry.nodeid = kFirstFile + i;
    entry.entry_valid = kForEver;
    entry.attr = attributes(entry.nodeid, uid_, gid_, size_of(entry.nodeid));
    return answer(unique, 0, &entry, sizeof entry);
  }
  answer(unique, ENOENT, nullptr, 0);
}

void FuseServer::read(std::uint64_t unique, std::uint64_t node, std::uint64_t handle,
                      std::uint64_t offset, std::uint32_t size) {
  if (!is_file(node)) return answer(unique, EISDIR, nullptr, 0);
  // From the beginning it is the present: programs keep such files open and seek back.
  if (offset == 0 || !open_.contains(handle)) {
    if (open_.size() >= kMostOpen) open_.erase(open_.begin());
    open_[handle] = render_(kFiles[node - kFirstFile].file);
  }
  const std::string& text = open_[handle];
  const std::size_t from = std::min<std::uint64_t>(offset, text.size());
  answer(unique, 0, text.data() + from, std::min<std::size_t>(size, text.size() - from));
}

void FuseServer::dispatch(const void* header, const char* body, std::size_t count) {
  const auto in = take<fuse_in_header>(static_cast<const char*>(header), sizeof(fuse_in_header));
  switch (in.opcode) {
    case FUSE_INIT: {
      const auto asked = take<fuse_init_in>(body, count);
      fuse_init_out out{};
      out.major = FUSE_KERNEL_VERSION;
      out.minor = std::min<std::uint32_t>(asked.minor, FUSE_KERNEL_MINOR_VERSION);
      out.max_write = 4096;
      return answer(in.unique, 0, &out, sizeof out);
    }
    case FUSE_LOOKUP:
      return lookup(in.unique, in.nodeid, body, count);
    case FUSE_GETATTR: {
      fuse_attr_out out{};
      out.attr = attributes(in.nodeid, uid_, gid_, size_of(in.nodeid));
      return answer(in.unique, 0, &out, sizeof out);
    }
    case FUSE_OPEN: {
      fuse_open_out out{};
      out.fh = shared_.next_handle++;
      out.open_flags = FOPEN_DIRECT_IO;  // never from the page cache
      return answer(in.unique, 0, &out, sizeof out);
    }
    case FUSE_READ: {
      const auto asked = take<fuse_read_in>(body, count);
      return read(in.unique, in.nodeid, asked.fh, asked.offset, asked.size);
    }
    case FUSE_RELEASE:
      open_.erase(take<fuse_release_in>(body, count).fh);
      return answer(in.unique, 0, nullptr, 0);
    case FUSE_STATFS: {
      fuse_statfs_out out{};
      out.st.bsize = 4096;
      out.st.namelen = 255;
      return answer(in.unique, 0, &out, sizeof out);
    }
    case FUSE_FORGET:
    case FUSE_BATCH_FORGET:
    case FUSE_INTERRUPT:
      return;  // these want no answer
    default:
      return answer(in.unique, ENOSYS, nullptr, 0);
  }
}

void FuseServer::finish() {
  auto* header = reinterpret_cast<fuse_in_header*>(shared_.request.data());
  const std::size_t length = header->len;
  if (length >= sizeof *header && length <= shared_.request.size())
    dispatch(header, shared_.request.data() + sizeof *header, length - sizeof *header);
  header->len = 0;
}

void FuseServer::refuse() {
  auto* header = reinterpret_cast<fuse_in_header*>(shared_.request.data());
  if (header->len >= sizeof *header) answer(header->unique, EIO, nullptr, 0);
  header->len = 0;
}

bool FuseServer::serve() {
  const ssize_t n = ::read(shared_.fuse, shared_.request.data(), shared_.request.size());
  if (n < 0) {
    reinterpret_cast<fuse_in_header*>(shared_.request.data())->len = 0;
    return errno != ENODEV && errno != EBADF;
  }
  finish();
  return true;
}

}  // namespace vrun::view
