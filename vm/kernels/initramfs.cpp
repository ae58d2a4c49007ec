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
  archive.add_directory("modules");
}

}  // namespace

Result<std::string> make_initramfs(const Fd& modules, std::string_view agent) {
  const std::string needs = TRY(fs::read_file(modules, "modules.dep", kMostIndex));
  const std::string builtin = TRY(fs::read_file(modules, "modules.builtin", kMostIndex));
  const std::vector<std::string> paths =
      TRY(ModuleIndex::parse(needs, builtin).order(wanted_modules()));
  Cpio archive;
  add_base(archive);
  archive.add_file("init", agent, 0755);
  for (std::size_t i = 0; i < paths.size(); ++i) {
    Result<std::string> module = unpacked_module(modules, paths[i]);
    if (!module) return std::move(module).error().during(paths[i]);
    const std::string number = (i < 10 ? "0" : "") + std::to_string(i);
    archive.add_file("modules/" + number + "-" + module_name(paths[i]) + ".ko", *module, 0644);
  }
  return archive.finished();
}

}  // namespace vrun::vm
