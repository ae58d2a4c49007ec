// The files of a shared directory, as a guest names them.
//
// The server of virtio-fs (fs_server.hpp) keeps an O_PATH descriptor for the files that the guest
// knows (nodes) and one for each that it has open (a handle). A guest's kernel knows as many files
// as its memory holds, and each descriptor pins kernel memory of the host: so of those that are no
// directories only the latest used are held. The others are put away, and found again by directory
// and name; one that is not the same file any more is gone. A guest can reach nothing else:
// each step of its paths is one name below a node, opened without following links; symbolic links
// are resolved by the guest's kernel in its own tree. What lies on a file system of the host's
// kernel (proc, sysfs, cgroup ...) is never served: /proc/self there is this process.
#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <tuple>

#include <sys/stat.h>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "vm/vmm/directory_stream.hpp"

namespace vrun::vmm {

class StateReader;
class StateWriter;

using NodeId = std::uint64_t;
using HandleId = std::uint64_t;
inline constexpr NodeId kRootNode = 1;

class Share {
 public:
  // `root`: the directory. `links`: /proc/self/fd of this process, the one way from an O_PATH
  // descriptor to an open file (open(2), O_PATH). `most_held`: files, besides directories.
  Share(Fd root, Fd links, std::size_t most_held = most_to_hold());
  // 4096 (some 10 MiB of the host kernel's memory), or a quarter of the descriptors one may have.
  static std::size_t most_to_hold();

  struct Found {
    NodeId node = 0;
    struct stat facts {};
    int error = 0;  // errno; then nothing else counts
  };
  // One name below a directory; the node is counted once more. EINVAL for names that are none.
  Found look_up(NodeId directory, const char* name);
  // The guest forgot `count` of its look-ups.
  void forget(NodeId node, std::uint64_t count);

  // The O_PATH descriptor of a node; -1: there is none, or it is gone. It is there until the next
  // look-ups.
  int node(NodeId id);
  // Opens a node's regular file or directory; negative errno otherwise. Never blocks: what is
  // neither is refused.
  int open_node(NodeId id, int flags);
  // Around each removal and renaming: the file of that name is about to lose it, so that it has to
  // be held from now on; the file that has it now is found by it.
  void will_lose_name(NodeId directory, const char* name);
  void has_name(NodeId directory, const char* name);
  // "12": the node's name in `links`, for calls that take paths only. Links are followed to the
  // node itself, and no further.
  std::string link_name(NodeId id) { return std::to_string(node(id)); }
  int links() const { return links_.get(); }

  // `node`: of which it is; as long as that is open it is held.
  HandleId keep(Fd file, NodeId node = 0);
  HandleId keep_directory(Fd directory);
  int handle(HandleId id) const;                  // of a file or directory; -1: there is none
  DirectoryStream* directory(HandleId id) const;  // null: there is none
  void drop(HandleId id);

  // Inode numbers as the guest sees them: of one file system those of the host, of others (mounts
  // below the root) made different from these.
  std::uint64_t inode_of(const struct stat& facts) const;
  std::size_t nodes() const { return nodes_.size(); }
  std::size_t held() const { return held_.size(); }
  // All that the guest knew is forgotten but the root.
  void clear();

  // For snapshots: what the guest knows, by its paths, and found again in another root that has
  // the same tree; what is not there is gone for the guest. kUnsupported: it has a file open that
  // has no name any more. kInvalid: what it has open is not there, or was never its to have.
  Result<void> save(StateWriter& to) const;
  Result<void> load(StateReader& from, bool read_only);
  // File systems in which files are the kernel's, or processes.
  static bool is_kernels(int file);

 private:
  using Key = std::tuple<dev_t, ino_t, std::uint64_t>;
  struct Node {
    Fd file;                  // none: put away, or gone
    bool is_kernels = false;  // nothing below it is served
    std::uint64_t looked_up = 0;
    Key key;
    NodeId parent = 0;  // with `name` the way back; 0: none, it is not put away
    std::string name;
    std::list<NodeId>::iterator place;  // in held_
    bool is_held = false;               // and may be put away
    std::uint64_t opened = 0;           // handles
  };
  bool is_closed(NodeId directory) const;
  int directory_of(const Node& node) const;
  // By its name; none: that leads to nothing or to another file now.
  Fd open_by_name(const Node& node) const;
  // The node of the file that has this name now, and the file; null: the guest does not know it,
  // or it is a directory.
  Node* known_by(NodeId directory, const char* name, Fd& file, NodeId& id);
  void give_way_back(Node& node, NodeId id, NodeId directory, const char* name);
  void use(Node& node, NodeId id);
  void let_go(Node& node);
  // Facts, and the mount in which they hold: inode numbers are unique within one only.
  static int look_at(int file, struct stat& facts, std::uint64_t& mount);
  Result<void> load_nodes(StateReader& from);
  void find_ways_back(const std::map<std::string, NodeId>& paths);
  Result<void> load_handle(StateReader& from, bool read_only);
  Result<void> load_directory(StateReader& from);
  bool find_again(const std::string& path, std::uint32_t type, Node& node) const;
  Result<Fd> open_again(const std::string& path, int flags) const;
  Result<void> take_handle(HandleId id) const;

  Fd root_, links_;
  bool root_is_kernels_ = false;
  dev_t root_device_ = 0;
  std::map<NodeId, Node> nodes_;
  std::map<Key, NodeId> known_;  // so that hard links are one node
  std::list<NodeId> held_;       // files that may be put away, the latest used first
  std::size_t most_held_;
  struct Handle {
    Fd file;
    NodeId node = 0;
  };
  std::map<HandleId, Handle> handles_;
  std::map<HandleId, std::unique_ptr<DirectoryStream>> directories_;
  NodeId next_node_ = kRootNode + 1;
  HandleId next_handle_ = 1;
};

}  // namespace vrun::vmm
