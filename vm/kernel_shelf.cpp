#include "vm/kernel_shelf.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include "base/faults.hpp"
#include "base/fs.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "base/undo.hpp"

namespace vrun::vm {
namespace {

constexpr std::string_view kPrefix = "vmlinuz-";
constexpr const char* kHalf =
    ".new";  // no kernel has that name: names begin with a letter or digit

std::string shelf_of(const KernelPlaces& places) {
  return fs::join(places.data, "vm/kernels");
}

// The names in a directory; one that is not there has none.
Result<std::vector<std::string>> names_in(const std::string& path) {
  Result<Fd> dir = sys::open_dir(At::cwd(), path);
  if (!dir && dir.error().sys_errno() == ENOENT) return std::vector<std::string>();
  if (!dir) return std::move(dir).error();
  return sys::list_dir(dir->get());
}

bool is_there(const std::string& path) {
  return ::access(path.c_str(), F_OK) == 0;
}

HostKernel with_modules(const KernelPlaces& places, std::string release, std::string file) {
  HostKernel kernel{std::move(release), std::move(file), fs::join(places.modules, "")};
  kernel.modules = fs::join(places.modules, kernel.release);
  if (!is_there(fs::join(kernel.modules, "modules.dep"))) kernel.modules.clear();
  return kernel;
}

Result<std::vector<HostKernel>> host_kernels(const KernelPlaces& places) {
  std::vector<HostKernel> found;
  for (const std::string& name : TRY(names_in(places.boot))) {
    if (!name.starts_with(kPrefix)) continue;
    found.push_back(with_modules(places, name.substr(kPrefix.size()), fs::join(places.boot, name)));
  }
  for (const std::string& release : TRY(names_in(places.modules))) {
    std::string file = fs::join(fs::join(places.modules, release), "vmlinuz");
    const bool known = std::any_of(found.begin(), found.end(), [&](const HostKernel& kernel) {
      return kernel.release == release;
    });
    if (!known && is_there(file)) found.push_back(with_modules(places, release, std::move(file)));
  }
  sort_kernels(found);
  return found;
}

Result<std::vector<HostKernel>> added_kernels(const KernelPlaces& places) {
  std::vector<HostKernel> found;
  for (const std::string& name : TRY(names_in(shelf_of(places)))) {
    if (name.starts_with('.')) continue;
    const std::string dir = fs::join(shelf_of(places), name);
    HostKernel kernel{name, fs::join(dir, "kernel"), ""};
    if (!is_there(kernel.file)) continue;
    if (Result<std::string> link = sys::read_link(At::cwd(), fs::join(dir, "modules")))
      kernel.modules = *std::move(link);
    found.push_back(std::move(kernel));
  }
  sort_kernels(found);
  return found;
}

// A bzImage has "HdrS" at 0x202 (Documentation/arch/x86/boot.rst), an ELF its own magic.
bool is_kernel(const Fd& file) {
  std::array<char, 0x206> head{};
  const Result<std::size_t> got = sys::read(file.get(), head);
  if (!got || *got < head.size()) return false;
  return std::memcmp(head.data(), "\177ELF", 4) == 0 ||
         std::memcmp(head.data() + 0x202, "HdrS", 4) == 0;
}

Result<void> check_name(const std::string& name) {
  const auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '+';
  };
  const bool good = !name.empty() && name.size() <= 128 && name[0] != '.' && name[0] != '-' &&
                    std::all_of(name.begin(), name.end(), fits);
  if (good) return {};
  return Error(Code::kInvalid, quote(name.substr(0, 140)) + " is not a name for a kernel")
      .hint("1 to 128 letters, digits and the characters _ . - +, a letter or digit first");
}

Result<Fd> locked_shelf(const KernelPlaces& places) {
  TRY(fs::make_dirs(At::cwd(), shelf_of(places), 0755));
  Fd shelf = TRY(sys::open_dir(At::cwd(), shelf_of(places)));
  TRY(sys::lock(shelf.get(), LOCK_EX, "the kernels of micro-VMs"));
  TRY(fs::remove_tree(shelf, kHalf));  // of a run that was killed
  return shelf;
}

Result<void> copy_file(const Fd& from, At dir, const std::string& name) {
  const Fd to = TRY(sys::open(dir, name, O_WRONLY | O_CREAT | O_EXCL, 0644));
  off_t at = 0;
  while (true) {
    const ssize_t count = ::sendfile(to.get(), from.get(), &at, 1 << 30);
    if (count < 0) return Error::system(errno, "copy the kernel");
    if (count == 0) break;
  }
  if (::fsync(to.get()) != 0) return Error::system(errno, "write the kernel to disk");
  return {};
}

}  // namespace

Result<std::vector<ShelfKernel>> list_kernels(const KernelPlaces& places) {
  std::vector<ShelfKernel> all;
  for (HostKernel& kernel : TRY(added_kernels(places)))
    all.push_back({std::move(kernel), true});
  for (HostKernel& kernel : TRY(host_kernels(places)))
    all.push_back({std::move(kernel), false});
  return all;
}

Result<HostKernel> find_kernel(const KernelPlaces& places, const std::string& name) {
  const std::vector<HostKernel> added = TRY(added_kernels(places));
  const std::vector<HostKernel> host = TRY(host_kernels(places));
  if (name.empty()) {
    for (const auto* kernels : {&added, &host}) {
      if (const HostKernel* kernel = default_kernel(*kernels)) return *kernel;
    }
    return Error(Code::kNotFound, "no kernel for micro-VMs: none in " + places.boot +
                                      " has its modules in " + places.modules)
        .hint("apt install linux-image-cloud-amd64, or vrun vm kernel add FILE --modules DIR");
  }
  std::vector<std::string> there;
  for (const auto* kernels : {&added, &host}) {
    for (const HostKernel& kernel : *kernels) {
      if (kernel.release == name) return kernel;
      there.push_back(kernel.release);
    }
  }
  return Error(Code::kNotFound, "no kernel " + quote(name))
      .hint(there.empty() ? "there is none: vrun vm kernel add FILE"
                          : "there is " + join(there, ", "));
}

Result<HostKernel> kernel_at(const KernelPlaces& places, const std::string& path) {
  Result<Fd> file = sys::open(At::cwd(), path, O_RDONLY | O_NONBLOCK);
  if (!file) return std::move(std::move(file).error().during("--kernel"));
  if (!is_kernel(*file)) {
    return Error(Code::kInvalid, "--kernel " + quote(path) + ": no kernel for x86-64")
        .hint("a vmlinuz as in /boot, or an ELF file; vrun vm kernel ls lists those by name");
  }
  std::string release(fs::base_name(path));
  if (release.starts_with(kPrefix)) release.erase(0, kPrefix.size());
  return with_modules(places, release, path);
}

Result<void> add_kernel(const KernelPlaces& places, const NewKernel& kernel) {
  TRY(check_name(kernel.name));
  const Fd file = TRY(sys::open(At::cwd(), kernel.file, O_RDONLY | O_NONBLOCK));
  if (!is_kernel(file)) {
    return Error(Code::kInvalid, quote(kernel.file) + " is no kernel for x86-64")
        .hint("a vmlinuz as in /boot, or an ELF file");
  }
  std::string modules = kernel.modules;
  if (modules.empty()) modules = with_modules(places, kernel.name, kernel.file).modules;
  if (!kernel.modules.empty() && !is_there(fs::join(modules, "modules.dep"))) {
    return Error(Code::kInvalid, quote(modules) + " has no modules.dep")
        .hint("a directory such as /lib/modules/" + kernel.name + "; depmod makes the file");
  }
  const Fd shelf = TRY(locked_shelf(places));
  if (sys::stat(shelf, kernel.name)) {
    return Error(Code::kExists, "kernel " + quote(kernel.name) + " is there already")
        .hint("vrun vm kernel rm " + kernel.name + ", or another name: --name NAME");
  }
  TRY(sys::make_dir(shelf, kHalf, 0755));
  Undo undo([&] { static_cast<void>(fs::remove_tree(shelf, kHalf)); });
  const Fd half = TRY(sys::open_dir(shelf, kHalf));
  TRY(copy_file(file, half, "kernel"));
  if (!modules.empty()) TRY(sys::make_symlink(modules, half, "modules"));
  TRY(sys::rename(shelf, kHalf, shelf, kernel.name));
  undo.commit();
  return {};
}

Result<void> remove_kernel(const KernelPlaces& places, const std::string& name) {
  TRY(check_name(name));
  const Fd shelf = TRY(locked_shelf(places));
  if (!sys::stat(shelf, name)) {
    for (const HostKernel& kernel : TRY(host_kernels(places))) {
      if (kernel.release != name) continue;
      return Error(Code::kInvalid, "kernel " + quote(name) + " is the host's own, not an added one")
          .hint("remove its package");
    }
    return Error(Code::kNotFound, "no added kernel " + quote(name)).hint("vrun vm kernel ls");
  }
  // In one step out of sight; what is left of it goes with the next change.
  TRY(sys::rename(shelf, name, shelf, kHalf));
  return fs::remove_tree(shelf, kHalf);
}

}  // namespace vrun::vm
