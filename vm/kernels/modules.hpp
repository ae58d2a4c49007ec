// The modules that a guest needs from its kernel's own /lib/modules, in the order of loading.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace vrun::vm {

// modules.dep of depmod(8): "kernel/a.ko.xz: kernel/b.ko.xz ..." below the release's directory.
class ModuleIndex {
 public:
  static ModuleIndex parse(std::string_view modules_dep, std::string_view modules_builtin);

  // Paths (as in modules.dep) of `names` and all that they need, each once and after what it
  // needs. Built-in ones are left out. kNotFound with all names that are nowhere.
  Result<std::vector<std::string>> order(const std::vector<std::string>& names) const;
  // Built in, or a module.
  bool has(std::string_view name) const;

 private:
  struct Module {
    std::string path;
    std::vector<std::string> needs;  // paths, as depmod writes them
  };
  const Module* find(std::string_view name) const;
  std::vector<Module> modules_;
  std::vector<std::string> builtin_;  // names
};

// "kernel/drivers/virtio/virtio-rng.ko.xz" -> "virtio_rng": the kernel takes - and _ for the same.
std::string module_name(std::string_view path);

// What our guests use, if the kernel does not have it built in.
const std::vector<std::string>& wanted_modules();

// What a system on a disk needs before it has its own modules: those without which nothing goes,
// and those that are taken if the kernel has them (buttons for its end by ACPI).
const std::vector<std::string>& wanted_modules_of_disks();
const std::vector<std::string>& welcome_modules_of_disks();
// Types of root file systems; each needs the module of its name.
const std::vector<std::string>& file_systems_of_disks();

}  // namespace vrun::vm
