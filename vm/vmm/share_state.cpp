// Share::save() and Share::load(): what the guest knows, by paths below the root.
#include <array>
#include <cerrno>
#include <climits>
#include <set>
#include <string_view>

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/text.hpp"
#include "vm/vmm/share.hpp"
#include "vm/vmm/state.hpp"

namespace vrun::vmm {
namespace {

constexpr std::uint64_t kMostNumber = 1ull << 62;
constexpr int kHandleFlags = O_ACCMODE | O_DSYNC | O_SYNC | O_NOATIME;

// Below `root`, over no symbolic link: what the guest itself could have reached by names.
Fd open_below(int root, const std::string& path) {
  open_how how{};
  how.flags = O_PATH | O_NOFOLLOW | O_CLOEXEC;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS;
  const char* const name = path.empty() ? "." : path.c_str();
  return Fd(static_cast<int>(::syscall(SYS_openat2, root, name, &how, sizeof how)));
}

Result<std::string> link_text(int links, int file) {
  std::array<char, PATH_MAX> text;
  const ssize_t size = ::readlinkat(links, std::to_string(file).c_str(), text.data(), text.size());
  if (size < 0) return Error::system(errno, "ask for the path of a shared file");
  return std::string(text.data(), static_cast<std::size_t>(size));
}

bool is_same(int file, int other) {
  struct stat a {
  }, b{};
  return other >= 0 && ::fstatat(file, "", &a, AT_EMPTY_PATH) == 0 &&
         ::fstatat(other, "", &b, AT_EMPTY_PATH) == 0 && a.st_dev == b.st_dev &&
         a.st_ino == b.st_ino;
}

// Finds paths, and proves that they lead to what is open.
class Paths {
 public:
  Paths(int root, int links) : root_(root), links_(links) {}
  Result<void> begin() {
    prefix_ = TRY(link_text(links_, root_));
    if (!prefix_.ends_with('/')) prefix_.push_back('/');
    return {};
  }
  // Relative to the root; "" is the root itself. None: no name leads there any more; then `text`
  // is the last one known.
  Result<std::optional<std::string>> of(int file, std::string& text) const {
    if (is_same(file, root_)) return std::optional(std::string());
    text = TRY(link_text(links_, file));
    if (!text.starts_with(prefix_)) return std::optional<std::string>();
    std::string path = text.substr(prefix_.size());
    if (path.empty() || !is_same(file, open_below(root_, path).get()))
      return std::optional<std::string>();
    return std::optional(std::move(path));
  }
  Result<std::string> of_handle(int file) const {
    std::string text;
    std::optional<std::string> path = TRY(of(file, text));
    if (path) return *std::move(path);
    return Error(Code::kUnsupported, "the guest has " + quote(text) +
                                         " open, a file without a name: it cannot be found again")
        .hint("end what uses it, or let it close the file, and try again");
  }

 private:
  int root_, links_;
  std::string prefix_;
};

// Directories below which nothing is served.
class Closed {
 public:
  explicit Closed(int root) : root_(root) {}
  bool holds(const std::string& path) {
    const std::size_t slash = path.rfind('/');
    const std::string parent = slash == path.npos ? "" : path.substr(0, slash);
    if (const auto found = known_.find(parent); found != known_.end()) return found->second;
    const bool is =
        Share::is_kernels(open_below(root_, parent).get()) || (!parent.empty() && holds(parent));
    return known_[parent] = is;
  }

 private:
  int root_;
  std::map<std::string, bool> known_;
};

Error lost(const std::string& path, std::string_view why) {
  return Error(Code::kInvalid, "the machine's state speaks of the shared file " + quote(path) +
                                   ", " + std::string(why));
}

}  // namespace

Result<void> Share::save(StateWriter& to) const {
  to.section("SHAR");
  Paths paths(root_.get(), links_.get());
  TRY(paths.begin());
  to.put(next_node_);
  to.put(next_handle_);
  to.put(static_cast<std::uint32_t>(nodes_.size()));
  std::string text;
  for (const auto& [id, node] : nodes_) {
    std::optional<std::string> path;
    struct stat facts {};
    // One that is put away is found again for a moment. One that is gone has no file, and stays so.
    const Fd again = node.file ? Fd() : open_by_name(node);
    const int file = node.file ? node.file.get() : again.get();
    if (file >= 0) {
      path = TRY(paths.of(file, text));
      if (::fstatat(file, "", &facts, AT_EMPTY_PATH) != 0)
        return Error::system(errno, "look at a shared file");
    }
    to.put(id);
    to.put(node.looked_up);
    to.put(static_cast<std::uint8_t>(path ? 1 : 0));
    to.put(static_cast<std::uint32_t>(facts.st_mode & S_IFMT));
    to.put_text(path.value_or(""));
  }
  to.put(static_cast<std::uint32_t>(handles_.size()));
  for (const auto& [id, handle] : handles_) {
    const int file = handle.file.get();
    to.put(id);
    to.put(static_cast<std::int32_t>(::fcntl(file, F_GETFL) & kHandleFlags));
    to.put_text(TRY(paths.of_handle(file)));
  }
  to.put(static_cast<std::uint32_t>(directories_.size()));
  for (const auto& [id, stream] : directories_) {
    to.put(id);
    to.put(stream->position());
    to.put_text(TRY(paths.of_handle(stream->fd())));
  }
  return {};
}

Result<void> Share::load(StateReader& from, bool read_only) {
  TRY(from.section("SHAR"));
  clear();
  next_node_ = TRY(from.get<NodeId>());
  next_handle_ = TRY(from.get<HandleId>());
  // The root's number and none are not given out, and those to come do not run over.
  if (next_node_ <= kRootNode || next_node_ > kMostNumber || next_handle_ == 0 ||
      next_handle_ > kMostNumber)
    return Error(Code::kInvalid, "the machine's state would number shared files wrongly");
  TRY(load_nodes(from));
  for (auto count = TRY(from.get<std::uint32_t>()); count > 0; --count)
    TRY(load_handle(from, read_only));
  for (auto count = TRY(from.get<std::uint32_t>()); count > 0; --count)
    TRY(load_directory(from));
  return {};
}

Result<void> Share::load_nodes(StateReader& from) {
  Closed closed(root_.get());
  std::map<std::string, NodeId> paths;  // two may have been given one, and one is enough
  for (auto count = TRY(from.get<std::uint32_t>()); count > 0; --count) {
    const auto id = TRY(from.get<NodeId>());
    const auto looked_up = TRY(from.get<std::uint64_t>());
    const bool is_there = TRY(from.get_flag());
    const auto type = TRY(from.get<std::uint32_t>());
    const std::string path = TRY(from.get_text(PATH_MAX));
    if (id <= kRootNode || id >= next_node_ || nodes_.contains(id))
      return Error(Code::kInvalid, "the machine's state has a shared file with a wrong number");
    Node node;
    node.looked_up = looked_up;
    // What has no name any more, or is another thing in this tree, answers ENOENT from now on.
    const bool found = is_there && find_again(path, type, node);
    if (found && closed.holds(path)) return lost(path, "which is the host kernel's own");
    if (found) {
      known_.try_emplace(node.key, id);
      paths.try_emplace(path, id);
    }
    // Not all at a time: most are never used again.
    if (!found || type != S_IFDIR) node.file.reset();
    nodes_.emplace(id, std::move(node));
  }
  find_ways_back(paths);
  return {};
}

void Share::find_ways_back(const std::map<std::string, NodeId>& paths) {
  for (const auto& [path, id] : paths) {
    Node& node = nodes_[id];
    if (node.file) continue;  // a directory
    const std::size_t slash = path.rfind('/');
    const auto parent = slash == path.npos ? paths.end() : paths.find(path.substr(0, slash));
    if (slash == path.npos) {
      node.parent = kRootNode;
    } else if (parent != paths.end()) {
      node.parent = parent->second;
    } else {
      node.file = open_below(root_.get(), path);
    }
    node.name = slash == path.npos ? path : path.substr(slash + 1);
  }
}

bool Share::find_again(const std::string& path, std::uint32_t type, Node& node) const {
  if (path.empty()) return false;
  node.file = open_below(root_.get(), path);
  struct stat facts {};
  std::uint64_t mount = 0;
  if (!node.file || look_at(node.file.get(), facts, mount) != 0) return false;
  if ((facts.st_mode & S_IFMT) != type) return false;
  node.key = Key(facts.st_dev, facts.st_ino, mount);
  node.is_kernels = is_kernels(node.file.get());
  return true;
}

// "" is the root.
Result<Fd> Share::open_again(const std::string& path, int flags) const {
  const Fd place = open_below(root_.get(), path);
  struct stat facts {};
  if (!place || ::fstatat(place.get(), "", &facts, AT_EMPTY_PATH) != 0)
    return lost(path, "which is not there");
  Closed closed(root_.get());
  if (is_kernels(place.get()) || closed.holds(path))
    return lost(path, "which is the host kernel's own");
  const bool directory = (flags & O_DIRECTORY) != 0;
  if (directory ? !S_ISDIR(facts.st_mode) : !S_ISREG(facts.st_mode))
    return lost(path, "which is of another kind now");
  Fd opened(
      ::openat(links_.get(), std::to_string(place.get()).c_str(), flags | O_CLOEXEC | O_NONBLOCK));
  if (!opened) return Error::system(errno, "open the shared file " + quote(path));
  return opened;
}

Result<void> Share::take_handle(HandleId id) const {
  if (id != 0 && id < next_handle_ && handle(id) < 0) return {};
  return Error(Code::kInvalid, "the machine's state has an open file with a wrong number");
}

Result<void> Share::load_handle(StateReader& from, bool read_only) {
  const auto id = TRY(from.get<HandleId>());
  const int flags = TRY(from.get<std::int32_t>()) & kHandleFlags;
  const std::string path = TRY(from.get_text(PATH_MAX));
  TRY(take_handle(id));
  if (read_only && (flags & O_ACCMODE) != O_RDONLY)
    return lost(path, "open for writing in a share that is read-only");
  Fd file = TRY(open_again(path, flags));
  handles_.emplace(id, Handle{std::move(file)});
  return {};
}

Result<void> Share::load_directory(StateReader& from) {
  const auto id = TRY(from.get<HandleId>());
  const auto position = TRY(from.get<std::uint64_t>());
  const std::string path = TRY(from.get_text(PATH_MAX));
  TRY(take_handle(id));
  auto stream = std::make_unique<DirectoryStream>(TRY(open_again(path, O_RDONLY | O_DIRECTORY)));
  // Where the new directory has no such position its guest reads it from there to the end.
  static_cast<void>(stream->seek(position));
  directories_.emplace(id, std::move(stream));
  return {};
}

}  // namespace vrun::vmm
