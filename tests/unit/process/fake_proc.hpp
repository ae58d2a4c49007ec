// A procfs of files, for planners that read the caller's capabilities and the kernel's modules.
#pragma once

#include <cstdlib>
#include <fstream>
#include <string>

#include <sys/stat.h>

#include "base/fs.hpp"
#include "base/host.hpp"

namespace vrun::process {

class FakeProc {
 public:
  FakeProc() {
    char name[] = "/tmp/vrun-proc-XXXXXX";
    root_ = ::mkdtemp(name);
    for (const char* dir : {"/self", "/sys", "/sys/kernel"})
      ::mkdir((root_ + dir).c_str(), 0700);
    write("/sys/kernel/cap_last_cap", "40\n");
    set_caps("000001ffffffffff", "000001ffffffffff");
    write("/filesystems", "nodev\tproc\n\text4\n");
  }
  FakeProc(const FakeProc&) = delete;
  FakeProc& operator=(const FakeProc&) = delete;
  ~FakeProc() { (void)fs::remove_tree(At::cwd(), root_); }

  void write(const std::string& path, const std::string& text) const {
    std::ofstream(root_ + path) << text;
  }
  void set_caps(const std::string& permitted, const std::string& bounding) const {
    write("/self/status", "Name:\tx\nCapInh:\t0000000000000000\nCapPrm:\t" + permitted +
                              "\nCapEff:\t" + permitted + "\nCapBnd:\t" + bounding + "\n");
  }
  const std::string& root() const { return root_; }
  Host host() const {
    Host host;
    host.proc = root_;
    return host;
  }

 private:
  std::string root_;
};

}  // namespace vrun::process
