// An initramfs: a cpio archive as the kernel reads it (Documentation/driver-api/early-userspace/
// buffer-format.rst, "newc").
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace vrun::vm {

class Cpio {
 public:
  // Directories first: the kernel makes none by itself. `mode`: permissions.
  void add_directory(std::string_view path, unsigned mode = 0755);
  void add_file(std::string_view path, std::string_view content, unsigned mode);
  void add_device(std::string_view path, unsigned mode, unsigned major, unsigned minor);
  std::string finished();

 private:
  struct Entry {
    std::string_view path, content;
    unsigned mode = 0, major = 0, minor = 0;
  };
  void add(const Entry& entry);
  std::string bytes_;
  unsigned inode_ = 0;
};

}  // namespace vrun::vm
