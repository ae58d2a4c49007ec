#include "vm/kernels/modules.hpp"

#include <algorithm>
#include <set>

#include "base/text.hpp"

namespace vrun::vm {
namespace {

std::vector<std::string> words_of(std::string_view line) {
  std::vector<std::string> words;
  for (const std::string_view word : split(line, ' ')) {
    if (!word.empty()) words.emplace_back(word);
  }
  return words;
}

}  // namespace

std::string module_name(std::string_view path) {
  if (const std::size_t slash = path.rfind('/'); slash != path.npos) path.remove_prefix(slash + 1);
  std::string name(path.substr(0, path.find(".ko")));
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

ModuleIndex ModuleIndex::parse(std::string_view modules_dep, std::string_view modules_builtin) {
  ModuleIndex index;
  for (const std::string_view line : split(modules_dep, '\n')) {
    const std::size_t colon = line.find(':');
    if (colon == line.npos) continue;
    index.modules_.push_back(
        {std::string(line.substr(0, colon)), words_of(line.substr(colon + 1))});
  }
  for (const std::string_view line : split(modules_builtin, '\n')) {
    if (!line.empty()) index.builtin_.push_back(module_name(line));
  }
  return index;
}

const ModuleIndex::Module* ModuleIndex::find(std::string_view name) const {
  for (const Module& module : modules_) {
    if (module_name(module.path) == name) return &module;
  }
  return nullptr;
}

Result<std::vector<std::string>> ModuleIndex::order(const std::vector<std::string>& names) const {
  std::vector<std::string> paths;
  std::set<std::string> seen;
  std::string missing;
  for (const std::string& name : names) {
    if (std::find(builtin_.begin(), builtin_.end(), name) != builtin_.end()) continue;
    const Module* module = find(name);
    if (module == nullptr) {
      missing += (missing.empty() ? "" : ", ") + name;
      continue;
    }
    // depmod lists all of what a module needs, those first that are loaded last.
    for (auto need = module->needs.rbegin(); need != module->needs.rend(); ++need) {
      if (seen.insert(*need).second) paths.push_back(*need);
    }
    if (seen.insert(module->path).second) paths.push_back(module->path);
  }
  if (!missing.empty()) return Error(Code::kNotFound, "the kernel has no module " + missing);
  return paths;
}

bool ModuleIndex::has(std::string_view name) const {
  return std::find(builtin_.begin(), builtin_.end(), name) != builtin_.end() ||
         find(name) != nullptr;
}

const std::vector<std::string>& wanted_modules_of_disks() {
  static const std::vector<std::string> kWanted = {"virtio_pci", "virtio_blk"};
  return kWanted;
}

const std::vector<std::string>& welcome_modules_of_disks() {
  static const std::vector<std::string> kWelcome = {"virtio_net",     "virtio_rng",
                                                    "virtio_balloon", "vmw_vsock_virtio_transport",
                                                    "button",         "evdev"};
  return kWelcome;
}

const std::vector<std::string>& file_systems_of_disks() {
  static const std::vector<std::string> kTypes = {"ext4", "xfs", "btrfs"};
  return kTypes;
}

const std::vector<std::string>& wanted_modules() {
  static const std::vector<std::string> kWanted = {
      "virtio_pci",     "virtiofs",   "virtio_blk",     "virtio_net", "vmw_vsock_virtio_transport",
      "virtio_console", "virtio_rng", "virtio_balloon", "overlay"};
  return kWanted;
}

}  // namespace vrun::vm
