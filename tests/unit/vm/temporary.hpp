// A directory of a test's own, gone with it.
#pragma once

#include <cstdlib>
#include <string>

#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.hpp"
#include "base/sys.hpp"

namespace vrun::vm {

class Temporary {
 public:
  Temporary() {
    std::string name = "/tmp/vrun-vm-XXXXXX";
    if (::mkdtemp(name.data()) != nullptr) path_ = name;
  }
  Temporary(const Temporary&) = delete;
  Temporary& operator=(const Temporary&) = delete;
  ~Temporary() { static_cast<void>(fs::remove_tree(At::cwd(), path_)); }

  std::string at(const std::string& name) const { return fs::join(path_, name); }
  void write(const std::string& name, const std::string& text) const {
    static_cast<void>(fs::make_dirs(At::cwd(), std::string(fs::dir_name(at(name))), 0755));
    const Result<Fd> dir = sys::open_dir(At::cwd(), std::string(fs::dir_name(at(name))));
    static_cast<void>(fs::replace_file(*dir, std::string(fs::base_name(name)), text));
  }

 private:
  std::string path_;
};

}  // namespace vrun::vm
