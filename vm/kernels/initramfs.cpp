#include "vm/kernels/initramfs.hpp"

#include "base/fs.hpp"
#include "base/text.hpp"
#include "vm/kernels/cpio.hpp"
#include "vm/kernels/decompress.hpp"
#include "vm/kernels/modules.hpp"

namespace vrun::vm {
namespace {

constexpr std::size_t kMostIndex = 16 << 20, kMostModule = 64 << 20;

Result<std::string> unpacked_module(const Fd& modules, const std::string& path) {
  std::string file = TRY(fs::read_file(modules, path, kMostModule, fs::Kind::kRegularOnly));
  const std::optional<Packing> packing = packing_of(file);
  if (!packing) return file;
  return decompress(*packing, file, kMostModule);
}

// The kernel unpacks a console for PID 1 from its own built-in archive only when it has no other.
void add_base(Cpio& archive) {
  archive.add_directory("dev");
  archive.add_device("dev/console", 0600, 5, 1);
}

// Those that are there and what they need, below `directory`, numbered in the order of loading.
Result<void> add_modules(Cpio& archive, const Fd& modules, const std::vector<std::string>& paths,
                         const std::string& directory) {
  archive.add_directory(directory);
  for (std::size_t i = 0; i < paths.size(); ++i) {
    Result<std::string> module = unpacked_module(modules, paths[i]);
    if (!module) return std::move(module).error().during(paths[i]);
    const std::string number = (i < 10 ? "0" : "") + std::to_string(i);
    archive.add_file(directory + "/" + number + "-" + module_name(paths[i]) + ".ko", *module, 0644);
  }
  return {};
}

std::vector<std::string> names_for(const ModuleIndex& index, Boots boots) {
  if (boots == Boots::kImage) return wanted_modules();
  std::vector<std::string> names = wanted_modules_of_disks();
  for (const std::string& name : welcome_modules_of_disks())
    if (index.has(name)) names.push_back(name);
  return names;
}

Result<void> add_file_systems(Cpio& archive, const Fd& modules, const ModuleIndex& index) {
  archive.add_directory("filesystems");
  for (const std::string& type : file_systems_of_disks()) {
    if (!index.has(type)) continue;
    const std::vector<std::string> paths = TRY(index.order({type}));
    TRY(add_modules(archive, modules, paths, "filesystems/" + type));
  }
  return {};
}

}  // namespace

Result<std::string> make_initramfs(const Fd& modules, std::string_view agent, Boots boots) {
  Cpio archive;
  add_base(archive);
  archive.add_file("init", agent, 0755);
  if (!modules) return archive.finished();
  const std::string needs = TRY(fs::read_file(modules, "modules.dep", kMostIndex));
  const std::string builtin = TRY(fs::read_file(modules, "modules.builtin", kMostIndex));
  const ModuleIndex index = ModuleIndex::parse(needs, builtin);
  const std::vector<std::string> paths = TRY(index.order(names_for(index, boots)));
  TRY(add_modules(archive, modules, paths, "modules"));
  if (boots == Boots::kDisk) TRY(add_file_systems(archive, modules, index));
  return archive.finished();
}

}  // namespace vrun::vm
