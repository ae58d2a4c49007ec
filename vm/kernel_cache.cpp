#include "vm/kernel_cache.hpp"

#include <chrono>
#include <string_view>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/digest.hpp"
#include "base/faults.hpp"
#include "base/fs.hpp"
#include "base/spawn.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "base/undo.hpp"

namespace vrun::vm {
namespace {

constexpr const char* kForm = "1";  // of what the helper makes: another number, other names
constexpr std::string_view kHalf = "half";

// What tells one content of a file from another without reading it.
Result<std::string> identity(const std::string& path) {
  const struct stat file = TRY(sys::stat(At::cwd(), path));
  std::string text = path;
  const auto add = [&](auto number) { text += '\n' + std::to_string(number); };
  add(file.st_dev);
  add(file.st_ino);
  add(file.st_size);
  add(file.st_mtim.tv_sec);
  add(file.st_mtim.tv_nsec);
  add(file.st_ctim.tv_sec);
  add(file.st_ctim.tv_nsec);
  return text + '\n';
}

struct Wanted {
  std::string name;                    // in the cache
  std::vector<std::string> arguments;  // of the helper, without --out
};

Result<Fd> made(const Fd& cache, const std::string& path, const Wanted& wanted, const Maker& make) {
  if (Result<Fd> there = sys::open(cache, wanted.name, O_RDONLY)) return there;
  const Fd lock = TRY(sys::open(cache, "lock", O_RDWR | O_CREAT, 0600));
  TRY(sys::lock(lock.get(), LOCK_EX, "the kernels of micro-VMs"));
  // Another one may have made it while we waited.
  if (Result<Fd> there = sys::open(cache, wanted.name, O_RDONLY)) return there;
  const std::string half(kHalf);
  const auto clear = [&] { static_cast<void>(sys::unlink(cache, half)); };
  clear();
  Undo undo(clear);
  std::vector<std::string> arguments = wanted.arguments;
  arguments.insert(arguments.end(), {"--out", fs::join(path, half)});
  TRY(make(arguments));
  Fd file = TRY(sys::open(cache, half, O_RDONLY));
  if (::fsync(file.get()) != 0) return Error::system(errno, "write a kernel to disk");
  TRY(sys::rename(cache, half, cache, wanted.name));
  undo.commit();
  return file;
}

Result<Wanted> initramfs_of(const CacheRequest& request) {
  const std::string& modules = request.kernel.modules;
  std::string parts = kForm + TRY(identity(request.agent));
  std::vector<std::string> arguments{"initramfs", "--agent", request.agent};
  if (!modules.empty()) {
    parts += TRY(identity(fs::join(modules, "modules.dep")));
    arguments.insert(arguments.end(), {"--modules", modules});
  }
  if (request.disk) {
    parts += "disk";
    arguments.insert(arguments.end(), {"--boots", "disk"});
  }
  return Wanted{sha256_hex(parts) + ".initramfs", std::move(arguments)};
}

Result<Wanted> vmlinux_of(const CacheRequest& request) {
  const std::string parts = kForm + TRY(identity(request.kernel.file));
  return Wanted{sha256_hex(parts) + ".vmlinux", {"vmlinux", "--in", request.kernel.file}};
}

}  // namespace

Maker kernel_helper(std::string program) {
  return [program = std::move(program)](const std::vector<std::string>& arguments) -> Result<void> {
    Command command;
    command.path = program;
    command.argv = {"vrun-kernel"};
    command.argv.insert(command.argv.end(), arguments.begin(), arguments.end());
    command.timeout = std::chrono::minutes(2);
    const Finished finished = TRY(run(command));
    if (finished.exit.code() == 0) return {};
    const std::string words(trim(finished.output));
    return Error(Code::kInvalid,
                 words.empty() ? "vrun-kernel ended with " + std::to_string(finished.exit.code())
                               : printable(words))
        .during("kernel of micro-VMs")
        .hint(words.find("ENOSPC") != std::string_view::npos
                  ? "make room where vrun keeps its data: vrun system prune"
                  : "another kernel: vrun vm kernel ls, --kernel NAME");
  };
}

Result<BootFiles> boot_files(const CacheRequest& request, const Maker& make) {
  const std::string path = fs::join(request.data, "vm/cache");
  TRY(fs::make_dirs(At::cwd(), path, 0755));
  const Fd cache = TRY(sys::open_dir(At::cwd(), path));
  const Wanted vmlinux = TRY(vmlinux_of(request));
  BootFiles files;
  files.vmlinux = TRY(made(cache, path, vmlinux, make));
  if (!request.initrd.empty()) {
    files.initramfs = TRY(sys::open(At::cwd(), request.initrd, O_RDONLY | O_NONBLOCK));
    return files;
  }
  const Wanted initramfs = TRY(initramfs_of(request));
  files.initramfs = TRY(made(cache, path, initramfs, make));
  return files;
}

Result<CacheNames> cache_names(const CacheRequest& request) {
  CacheNames names;
  names.vmlinux = TRY(vmlinux_of(request)).name;
  if (request.initrd.empty()) names.initramfs = TRY(initramfs_of(request)).name;
  return names;
}

}  // namespace vrun::vm
