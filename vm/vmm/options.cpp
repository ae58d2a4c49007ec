#include "vm/vmm/options.hpp"

#include <cerrno>
#include <charconv>
#include <cstring>
#include <string_view>
#include <utility>

#include <fcntl.h>

#include "base/faults.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "vm/vmm/layout.hpp"

namespace vrun::vmm {
namespace {

template <typename Number>
Result<Number> number(std::string_view text) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size())
    return Error(Code::kInvalid, quote(text) + " is no number");
  return value;
}

Result<Fd> file(std::string_view text, int flags) {
  if (text.starts_with('/')) return sys::open(At::cwd(), std::string(text), flags);
  const int fd = TRY(number<int>(text));
  if (::fcntl(fd, F_SETFD, FD_CLOEXEC) != 0)
    return Error::system(errno, "take descriptor " + std::string(text));
  return Fd(fd);
}

// FILE[,name=TEXT][,read-bytes=N][,write-bytes=N][,read-operations=N][,write-operations=N].
Result<DiskOption> disk_option(std::string_view value, bool read_only) {
  DiskOption disk;
  disk.read_only = read_only;
  bool first = true;
  for (const std::string_view part : split(value, ',')) {
    if (std::exchange(first, false)) {
      disk.file = TRY(file(part, read_only ? O_RDONLY : O_RDWR));
      continue;
    }
    const std::size_t sign = std::min(part.find('='), part.size());
    const std::string_view name = part.substr(0, sign);
    if (name == "name" && sign != part.size()) {
      disk.name = part.substr(sign + 1);
      continue;
    }
    DiskLimits& limits = disk.limits;
    std::uint64_t* const limit = name == "read-bytes"         ? &limits.read_bytes
                                 : name == "write-bytes"      ? &limits.write_bytes
                                 : name == "read-operations"  ? &limits.read_operations
                                 : name == "write-operations" ? &limits.write_operations
                                                              : nullptr;
    if (limit == nullptr || sign == part.size())
      return Error(Code::kInvalid, quote(part) + " is no limit of a disk");
    *limit = TRY(number<std::uint64_t>(part.substr(sign + 1)));
  }
  return disk;
}

Result<void> take(Options& options, std::string_view name, std::string_view value) {
  if (name == "--kvm") {
    options.kvm = TRY(file(value, O_RDWR));
  } else if (name == "--kernel") {
    options.kernel_name = value;
    options.kernel = TRY(file(value, O_RDONLY));
  } else if (name == "--initrd") {
    options.initrd_name = value;
    options.initrd = TRY(file(value, O_RDONLY));
  } else if (name == "--command-line") {
    options.command_line = value;
  } else if (name == "--agent") {
    options.agent = TRY(file(value, O_RDONLY));
  } else if (name == "--control") {
    options.control = TRY(file(value, O_RDONLY));
  } else if (name == "--report") {
    options.report = TRY(file(value, O_WRONLY));
  } else if (name == "--cards") {
    options.cards = TRY(file(value, O_RDONLY));
  } else if (name == "--console") {
    options.console = TRY(file(value, O_WRONLY));
  } else if (name == "--run") {
    options.run = TRY(file(value, O_RDONLY));
  } else if (name == "--boot-words") {
    options.words = TRY(file(value, O_RDONLY));
  } else if (name == "--agent-wait") {
    options.agent_wait_seconds = TRY(number<std::uint32_t>(value));
    if (options.agent_wait_seconds == 0 || options.agent_wait_seconds > 3600)
      return Error(Code::kInvalid, "from 1 to 3600 seconds");
  } else if (name == "--memory-file") {
    options.memory = TRY(file(value, O_RDWR));
  } else if (name == "--restore") {
    options.restore = TRY(file(value, O_RDONLY));
  } else if (name == "--qemu") {
    options.qemu = TRY(file(value, O_PATH | O_DIRECTORY));
  } else if (name == "--disk" || name == "--read-only-disk") {
    DiskOption disk = TRY(disk_option(value, name == "--read-only-disk"));
    options.disks.push_back(std::move(disk));
    if (options.disks.size() > Kept::kMostDisks)
      return Error(Code::kInvalid, "at most " + std::to_string(Kept::kMostDisks));
  } else if (name == "--share" || name == "--read-only-share") {
    const std::size_t colon = value.find(':');
    if (colon == value.npos) return Error(Code::kInvalid, "TAG:FILE is wanted");
    options.shares.push_back({.tag = std::string(value.substr(0, colon)),
                              .directory = TRY(file(value.substr(colon + 1), O_PATH | O_DIRECTORY)),
                              .read_only = name != "--share"});
  } else if (name == "--memory") {
    options.memory_size = TRY(number<std::uint64_t>(value));
    if (options.memory_size < (16u << 20) || options.memory_size % layout::kPage != 0)
      return Error(Code::kInvalid, "bytes in whole pages, and 16 MiB at least");
  } else if (name == "--processors") {
    options.processors = TRY(number<std::uint32_t>(value));
    if (options.processors == 0 || options.processors > 254)
      return Error(Code::kInvalid, "from 1 to 254");
  } else {
    return Error(Code::kInvalid, "no such option");
  }
  return {};
}

}  // namespace

Result<Options> parse_options(std::span<const char* const> arguments) {
  Options options;
  std::string faults;
  for (const char* argument : arguments) {
    const std::string_view text(argument);
    const std::size_t sign = text.find('=');
    const std::string_view name = text.substr(0, sign);
    const std::string_view value = sign == text.npos ? "" : text.substr(sign + 1);
    if (Result<void> taken = take(options, name, value); !taken)
      faults += (faults.empty() ? "" : "; ") + std::string(name) + ": " + taken.error().text();
  }
  const bool machine = options.qemu      ? (options.run || options.words) && !options.restore
                       : options.restore ? options.kvm && options.memory && !options.kernel
                                         : options.kvm && options.kernel;
  if (faults.empty() && (!machine || options.memory_size == 0))
    faults =
        "--kvm, --kernel and --memory are needed, or --qemu, --memory and --run or --boot-words, "
        "or --kvm, --restore, --memory-file and --memory";
  if (!faults.empty()) return Error(Code::kInvalid, faults);
  return options;
}

}  // namespace vrun::vmm
