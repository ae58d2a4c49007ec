// A host whose cache is a temporary folder.
#pragma once

#include <cstdlib>
#include <string>

#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.hpp"
#include "base/host.hpp"

namespace vrun::seccomp {

class TempHost {
 public:
  TempHost() {
    char name[] = "/tmp/vrun-cache-XXXXXX";
    root_ = ::mkdtemp(name);
    host_.cache_dir = root_ + "/cache";
    host_.euid = Uid(::geteuid());
  }
  TempHost(const TempHost&) = delete;
  TempHost& operator=(const TempHost&) = delete;
  ~TempHost() { (void)fs::remove_tree(At::cwd(), root_); }

  const Host& host() const { return host_; }
  Host& host() { return host_; }
  std::string folder() const { return host_.cache_dir + "/seccomp"; }

 private:
  std::string root_;
  Host host_;
};

}  // namespace vrun::seccomp
