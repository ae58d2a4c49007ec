#include "vm/vmm/share.hpp"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>
#include <iterator>
#include <string_view>
#include <utility>

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

namespace vrun::vmm {
namespace {

bool is_name(std::string_view name) {
  return !name.empty() && name != "." && name != ".." && name.find('/') == name.npos &&
         name.size() <= NAME_MAX;
}

}  // namespace

bool Share::is_kernels(int file) {
  static constexpr long kTypes[] = {PROC_SUPER_MAGIC,    SYSFS_MAGIC,      CGROUP_SUPER_MAGIC,
                                    CGROUP2_SUPER_MAGIC, DEBUGFS_MAGIC,    TRACEFS_MAGIC,
                                    BPF_FS_MAGIC,        SECURITYFS_MAGIC, NSFS_MAGIC};
  struct statfs facts {};
  if (::fstatfs(file, &facts) != 0) return true;
  return std::find(std::begin(kTypes), std::end(kTypes), facts.f_type) != std::end(kTypes);
}

int Share::look_at(int file, struct stat& facts, std::uint64_t& mount) {
  struct statx wide {};
  if (::statx(file, "", AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW, STATX_MNT_ID, &wide) != 0)
    return errno;
  mount = wide.stx_mnt_id;
  return ::fstatat(file, "", &facts, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) != 0 ? errno : 0;
}

std::size_t Share::most_to_hold() {
  constexpr rlim_t kMost = 4096;
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) != 0) return kMost / 16;
  return std::min(kMost, files.rlim_cur / 4);
}

Share::Share(Fd root, Fd links, std::size_t most_held)
    : root_(std::move(root)),
      links_(std::move(links)),
      most_held_(std::max<std::size_t>(most_held, 4)) {
  struct stat facts {};
  if (::fstat(root_.get(), &facts) == 0) root_device_ = facts.st_dev;
  root_is_kernels_ = is_kernels(root_.get());
}

Share::Found Share::look_up(NodeId directory, const char* name) {
  const int parent = node(directory);
  if (parent < 0) return {.error = ENOENT};
  if (!is_name(name)) return {.error = std::strlen(name) > NAME_MAX ? ENAMETOOLONG : EINVAL};
  if (is_closed(directory)) return {.error = ENOENT};
  Fd file(::openat(parent, name, O_PATH | O_NOFOLLOW | O_CLOEXEC));
  if (!file) return {.error = errno};
  Found found;
  std::uint64_t mount = 0;
  if (found.error = look_at(file.get(), found.facts, mount); found.error != 0) return found;
  const Key key(found.facts.st_dev, found.facts.st_ino, mount);
  auto [known, is_new] = known_.try_emplace(key, next_node_);
  if (!is_new) {
    // Its number may have been given to another file since it was put away.
    const Node& before = nodes_[known->second];
    const bool same_name = before.parent == directory && before.name == name;
    is_new = !before.file && !same_name && !open_by_name(before);
    if (is_new) known->second = next_node_;
  }
  if (is_new) {
    nodes_[next_node_].is_kernels = is_kernels(file.get());
    nodes_[next_node_++].key = key;
  }
  found.node = known->second;
  Node& node = nodes_[found.node];
  if (!node.file) node.file = std::move(file);
  ++node.looked_up;
  if (!S_ISDIR(found.facts.st_mode)) give_way_back(node, found.node, directory, name);
  return found;
}

int Share::directory_of(const Node& node) const {
  if (node.parent == kRootNode) return root_.get();
  const auto parent = nodes_.find(node.parent);
  return parent == nodes_.end() ? -1 : parent->second.file.get();
}

Fd Share::open_by_name(const Node& node) const {
  const int parent = directory_of(node);
  if (parent < 0) return {};
  Fd file(::openat(parent, node.name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  struct stat facts {};
  std::uint64_t mount = 0;
  if (!file || look_at(file.get(), facts, mount) != 0) return {};
  if (Key(facts.st_dev, facts.st_ino, mount) != node.key) return {};
  return file;
}

void Share::give_way_back(Node& node, NodeId id, NodeId directory, const char* name) {
  node.parent = directory;
  node.name = name;
  use(node, id);
}

void Share::use(Node& node, NodeId id) {
  if (node.parent == 0 || node.opened > 0 || !node.file) return;
  if (node.is_held) return held_.splice(held_.begin(), held_, node.place);
  node.place = held_.insert(held_.begin(), id);
  node.is_held = true;
  if (held_.size() <= most_held_) return;
  Node& oldest = nodes_[held_.back()];
  let_go(oldest);
  oldest.file.reset();
}

void Share::let_go(Node& node) {
  if (std::exchange(node.is_held, false)) held_.erase(node.place);
}

Share::Node* Share::known_by(NodeId directory, const char* name, Fd& file, NodeId& id) {
  const int parent = node(directory);
  if (parent < 0 || !is_name(name)) return nullptr;
  file = Fd(::openat(parent, name, O_PATH | O_NOFOLLOW | O_CLOEXEC));
  struct stat facts {};
  std::uint64_t mount = 0;
  if (!file || look_at(file.get(), facts, mount) != 0 || S_ISDIR(facts.st_mode)) return nullptr;
  const auto known = known_.find(Key(facts.st_dev, facts.st_ino, mount));
  if (known == known_.end()) return nullptr;
  id = known->second;
  return &nodes_[id];
}

void Share::will_lose_name(NodeId directory, const char* name) {
  Fd file;
  NodeId id = 0;
  Node* const node = known_by(directory, name, file, id);
  if (node == nullptr || node->parent != directory || node->name != name) return;
  if (!node->file) node->file = std::move(file);
  let_go(*node);
  node->parent = 0;
}

void Share::has_name(NodeId directory, const char* name) {
  Fd file;
  NodeId id = 0;
  Node* const node = known_by(directory, name, file, id);
  if (node == nullptr) return;
  if (!node->file) node->file = std::move(file);
  give_way_back(*node, id, directory, name);
}

bool Share::is_closed(NodeId directory) const {
  if (directory == kRootNode) return root_is_kernels_;
  const auto found = nodes_.find(directory);
  return found != nodes_.end() && found->second.is_kernels;
}

void Share::forget(NodeId id, std::uint64_t count) {
  const auto found = nodes_.find(id);
  if (found == nodes_.end()) return;
  Node& node = found->second;
  node.looked_up -= count < node.looked_up ? count : node.looked_up;
  if (node.looked_up > 0) return;
  // Two may have been found again under one key (load()).
  if (const auto known = known_.find(node.key); known != known_.end() && known->second == id)
    known_.erase(known);
  let_go(node);
  nodes_.erase(found);
}

int Share::node(NodeId id) {
  if (id == kRootNode) return root_.get();
  const auto found = nodes_.find(id);
  if (found == nodes_.end()) return -1;
  Node& node = found->second;
  if (!node.file) node.file = open_by_name(node);
  use(node, id);
  return node.file.get();
}

int Share::open_node(NodeId id, int flags) {
  const int file = node(id);
  if (file < 0) return -ESTALE;
  struct stat facts {};
  if (::fstat(file, &facts) != 0) return -errno;
  if (!S_ISREG(facts.st_mode) && !S_ISDIR(facts.st_mode)) return -EINVAL;
  const int opened = ::openat(links_.get(), std::to_string(file).c_str(),
                              (flags & ~(O_CREAT | O_EXCL | O_NOFOLLOW)) | O_CLOEXEC | O_NONBLOCK);
  return opened < 0 ? -errno : opened;
}

HandleId Share::keep(Fd file, NodeId node) {
  if (const auto known = nodes_.find(node); known != nodes_.end()) {
    ++known->second.opened;
    let_go(known->second);
  }
  handles_.emplace(next_handle_, Handle{std::move(file), node});
  return next_handle_++;
}

HandleId Share::keep_directory(Fd directory) {
  directories_.emplace(next_handle_, std::make_unique<DirectoryStream>(std::move(directory)));
  return next_handle_++;
}

int Share::handle(HandleId id) const {
  if (const DirectoryStream* stream = directory(id)) return stream->fd();
  const auto found = handles_.find(id);
  return found == handles_.end() ? -1 : found->second.file.get();
}

DirectoryStream* Share::directory(HandleId id) const {
  const auto found = directories_.find(id);
  return found == directories_.end() ? nullptr : found->second.get();
}

void Share::drop(HandleId id) {
  directories_.erase(id);
  const auto found = handles_.find(id);
  if (found == handles_.end()) return;
  const auto known = nodes_.find(found->second.node);
  handles_.erase(found);
  if (known == nodes_.end() || --known->second.opened > 0) return;
  use(known->second, known->first);
}

std::uint64_t Share::inode_of(const struct stat& facts) const {
  if (facts.st_dev == root_device_) return facts.st_ino;
  return facts.st_ino ^ (std::uint64_t{facts.st_dev} * 0x9e3779b97f4a7c15);
}

void Share::clear() {
  nodes_.clear();
  known_.clear();
  held_.clear();
  handles_.clear();
  directories_.clear();
}

}  // namespace vrun::vmm
