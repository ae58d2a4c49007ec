// The file system of a view, spoken directly on /dev/fuse (<linux/fuse.h>): a folder with a file
// for each row of kFiles, read-only. libfuse is not used: a session of it begins with FUSE_INIT,
// which the kernel says once for a mount, so a successor could not take over a mount that lives.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "base/id.hpp"
#include "base/result.hpp"
#include "engine/view/files.hpp"
#include "engine/view/shared.hpp"

namespace vrun::view {

class FuseServer {
 public:
  using Render = std::function<std::string(File)>;
  FuseServer(Shared& shared, Uid uid, Gid gid, Render render)
      : shared_(shared), uid_(uid), gid_(gid), render_(std::move(render)) {}

  // Takes one request and answers it; without blocking. False: the file system is gone.
  bool serve();
  // Answers what is in the buffer, if anything.
  void finish();
  // The same with EIO: two processes ended over it.
  void refuse();

 private:
  void answer(std::uint64_t unique, int error, const void* bytes, std::size_t count) const;
  void dispatch(const void* header, const char* body, std::size_t count);
  std::uint64_t size_of(std::uint64_t node) const;
  void lookup(std::uint64_t unique, std::uint64_t parent, const char* name, std::size_t room) const;
  void read(std::uint64_t unique, std::uint64_t node, std::uint64_t handle, std::uint64_t offset,
            std::uint32_t size);

  Shared& shared_;
  Uid uid_;
  Gid gid_;
  Render render_;
  // What open files say, so that one that is read in parts is of one moment.
  std::map<std::uint64_t, std::string> open_;
};

}  // namespace vrun::view
