// vrun-kernel: makes of a distribution's kernel what a micro-VM boots. A program of its own for the
// compression libraries, which the static ones do without.
//
//   vrun-kernel vmlinux --in FILE --out FILE
//   vrun-kernel initramfs [--modules /lib/modules/RELEASE] --agent FILE [--boots image|disk]
//               --out FILE
//
// Without --modules the kernel has all built in. // The output appears whole or not at all. Exit
// status 1: an error, said on stderr.
#include <cstdio>
#include <map>
#include <span>

#include "base/fs.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "vm/kernels/initramfs.hpp"
#include "vm/kernels/vmlinux.hpp"

namespace vrun::vm {
namespace {

constexpr std::size_t kMostKernel = 512 << 20, kMostAgent = 64 << 20;

using Flags = std::map<std::string, std::string, std::less<>>;

Result<Flags> parse(std::span<const char* const> arguments) {
  Flags flags;
  for (std::size_t i = 0; i < arguments.size(); i += 2) {
    const std::string_view name = arguments[i];
    if (!name.starts_with("--") || i + 1 == arguments.size())
      return Error(Code::kInvalid, quote(name) + " is no flag with a value");
    flags[std::string(name.substr(2))] = arguments[i + 1];
  }
  return flags;
}

Result<std::string> value_of(const Flags& flags, std::string_view name) {
  const auto found = flags.find(name);
  if (found != flags.end() && !found->second.empty()) return found->second;
  return Error(Code::kInvalid, "--" + std::string(name) + " is missing");
}

Result<void> write(const std::string& path, std::string_view bytes) {
  const Fd folder = TRY(sys::open_dir(At::cwd(), std::string(fs::dir_name(path))));
  return fs::replace_file(folder, std::string(fs::base_name(path)), bytes, 0644);
}

Result<void> unpack(const Flags& flags) {
  const std::string in = TRY(value_of(flags, "in"));
  const std::string out = TRY(value_of(flags, "out"));
  const std::string file = TRY(fs::read_file(At::cwd(), in, kMostKernel, fs::Kind::kRegularOnly));
  Result<std::string> elf = vmlinux_of(file);
  if (!elf) return std::move(elf).error().during(in);
  if (Result<void> good = check_kernel(*elf); !good) return std::move(good).error().during(in);
  return write(out, *elf);
}

Result<void> pack(const Flags& flags) {
  const std::string out = TRY(value_of(flags, "out"));
  const auto boots = flags.find("boots");
  const bool disk = boots != flags.end() && boots->second == "disk";
  const std::string agent_path = TRY(value_of(flags, "agent"));
  Fd modules;
  if (flags.contains("modules")) {
    const std::string path = TRY(value_of(flags, "modules"));
    modules = TRY(sys::open_dir(At::cwd(), path));
  }
  const std::string agent =
      TRY(fs::read_file(At::cwd(), agent_path, kMostAgent, fs::Kind::kRegularOnly));
  const std::string archive =
      TRY(make_initramfs(modules, agent, disk ? Boots::kDisk : Boots::kImage));
  return write(out, archive);
}

Result<void> run(std::span<const char* const> arguments) {
  const std::string_view verb = arguments.empty() ? std::string_view() : arguments[0];
  if (verb != "vmlinux" && verb != "initramfs")
    return Error(Code::kInvalid, "vmlinux or initramfs is wanted");
  const Flags flags = TRY(parse(arguments.subspan(1)));
  return verb == "vmlinux" ? unpack(flags) : pack(flags);
}

}  // namespace
}  // namespace vrun::vm

int main(int argc, char** argv) {
  const vrun::Result<void> done =
      vrun::vm::run(std::span<const char* const>(argv + 1, static_cast<std::size_t>(argc - 1)));
  if (done) return 0;
  std::fprintf(stderr, "vrun-kernel: %s\n", done.error().text().c_str());
  if (!done.error().hint().empty())
    std::fprintf(stderr, "  hint: %s\n", done.error().hint().c_str());
  return 1;
}
