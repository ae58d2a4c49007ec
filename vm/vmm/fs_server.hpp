// Answers the FUSE requests of one guest about one shared directory (fuse(4), <linux/fuse.h>;
// protocol 7.31 to 7.36).
//
// The guest's kernel checks permissions (virtiofs mounts with default_permissions); the server acts
// with the rights of its own process, and gives new files to the user who made them. Locks stay in
// the guest. Every request is checked: a hostile guest gets an error, reads and writes nothing
// outside the directory, and cannot make the server wait. Used by one thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <linux/fuse.h>

#include "vm/vmm/share.hpp"
#include "vm/vmm/virtqueue.hpp"

namespace vrun::vmm {

struct FsOptions {
  bool read_only = false;
  // How long the guest may believe what it saw: long where nobody else writes (its own root),
  // short for directories of the host.
  std::uint32_t cache_seconds = 1;
};

class FsServer {
 public:
  FsServer(Fd root, Fd links, const FsOptions& options)
      : share_(std::move(root), std::move(links)), options_(options) {}

  // Serves one request; answers how many bytes were written for the guest (0: no answer is due).
  std::uint32_t serve(const Chain& chain);
  // The guest's driver is gone.
  void reset() { share_.clear(); }
  std::size_t nodes() const { return share_.nodes(); }
  // For snapshots (share.hpp).
  Result<void> save(StateWriter& to) const { return share_.save(to); }
  Result<void> load(StateReader& from) { return share_.load(from, options_.read_only); }

 private:
  struct Request;
  struct Operation;
  static const Operation kOperations[];

  // Each answers 0 or a negative errno, having put its answer into the request.
  int initialise(Request& request);
  int look_up(Request& request);
  int forget(Request& request);
  int forget_many(Request& request);
  int get_attributes(Request& request);
  int set_attributes(Request& request);
  int read_link(Request& request);
  int make_link(Request& request);
  int make_node(Request& request);
  int make_directory(Request& request);
  int make_symlink(Request& request);
  int unlink(Request& request);
  int remove_directory(Request& request);
  int rename(Request& request);
  int rename_by_flags(Request& request);
  int open(Request& request);
  int create(Request& request);
  int open_directory(Request& request);
  int read(Request& request);
  int write(Request& request);
  int release(Request& request);
  int flush(Request& request);
  int sync(Request& request);
  int read_directory(Request& request);
  int read_directory_plus(Request& request);
  int statistics(Request& request);
  int set_attribute(Request& request);
  int get_attribute(Request& request);
  int list_attributes(Request& request);
  int remove_attribute(Request& request);
  int allocate(Request& request);
  int seek(Request& request);
  int copy_range(Request& request);
  int sync_all(Request& request);
  int destroy(Request& request);

  void put_entry(const Share::Found& found, fuse_entry_out& out) const;
  fuse_attr attributes_of(const struct stat& facts) const;
  int answer_entry(Request& request, NodeId directory, const char* name);
  // Gives a new file to the caller, as its directory's set-group-id bit says; that takes away the
  // set-id bits, which come from `mode` again.
  int give(Request& request, int directory, int file, std::uint32_t mode);
  int give_named(Request& request, int directory, const char* name, std::uint32_t mode);
  int list(Request& request, bool with_attributes);
  int rename_with(Request& request, NodeId to, unsigned flags, std::size_t names_at);

  Share share_;
  FsOptions options_;
};

}  // namespace vrun::vmm
