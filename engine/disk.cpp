#include "engine/disk.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <optional>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/digest.hpp"
#include "base/fs.hpp"
#include "base/spawn.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "network/address.hpp"
#include "vm/disk_layout.hpp"

namespace vrun::engine {
namespace {

constexpr off_t kSector = 512;
constexpr std::size_t kMostDisks = 16;

struct Refusal {
  std::string_view flags;
  bool (*asked)(const RunRequest&);
  std::string_view reason;
};
using R = RunRequest;

constexpr std::string_view kItsOwn = "the system on the disk says that itself";
constexpr std::string_view kNoProgram = "a system on a disk is no single program";

constexpr std::array kRefusals{
    Refusal{"an image or a command", [](const R& r) { return !r.image.empty() || !r.args.empty(); },
            "the disk has the whole system"},
    Refusal{"--volume, --mount, --tmpfs",
            [](const R& r) { return !r.volumes.empty() || !r.mounts.empty() || !r.tmpfs.empty(); },
            "it mounts what it wants; another --disk FILE gives it one more disk"},
    Refusal{"--env, --workdir, --user, --group-add, --entrypoint",
            [](const R& r) {
              return !r.env.empty() || !r.workdir.empty() || !r.user.empty() ||
                     !r.group_add.empty() || r.entrypoint.has_value();
            },
            kNoProgram},
    Refusal{"--cap-add, --cap-drop, --security-opt, --no-new-privs, --ulimit, --sysctl",
            [](const R& r) {
              return !r.cap_add.empty() || !r.cap_drop.empty() || !r.security_opts.empty() ||
                     r.no_new_privileges || !r.ulimits.empty() || !r.sysctls.empty();
            },
            kItsOwn},
    Refusal{"--pids-limit, --shm-size",
            [](const R& r) { return !r.pids_limit.empty() || !r.shm_size.empty(); }, kItsOwn},
    Refusal{"--read-only", [](const R& r) { return r.read_only; }, "--disk FILE:ro"},
    Refusal{"--add-host, --dns-option, --dns-search",
            [](const R& r) {
              return !r.add_hosts.empty() || !r.dns_options.empty() || !r.dns_search.empty();
            },
            kItsOwn},
    Refusal{"--post-start, --pre-stop",
            [](const R& r) { return !r.post_start.empty() || !r.pre_stop.empty(); },
            "its init starts and stops services"},
};

Error refused(const DiskWish& wish, Code code, const std::string& why) {
  return Error(code, "--disk " + quote(wish.file) + ": " + why);
}

// The whole file, so that QEMU's locks on single bytes of it count as well.
Result<void> lock(const DiskWish& wish, const Fd& file) {
  struct flock all {};
  all.l_type = static_cast<short>(wish.read_only ? F_RDLCK : F_WRLCK);
  all.l_whence = SEEK_SET;
  if (::fcntl(file.get(), F_OFD_SETLK, &all) == 0) return {};
  if (errno != EAGAIN && errno != EACCES)
    return Error::system(errno, "lock --disk " + quote(wish.file));
  return refused(wish, Code::kState,
                 wish.read_only ? "another guest or program writes it"
                                : "another guest or program uses it")
      .hint(wish.read_only ? "stop that one first"
                           : "stop that one first; guests share a disk with --disk FILE:ro");
}

Result<void> check_kind(const DiskWish& wish, const struct stat& file) {
  if (S_ISREG(file.st_mode) || S_ISBLK(file.st_mode)) return {};
  return refused(wish, Code::kInvalid,
                 S_ISDIR(file.st_mode) ? "a directory, no disk image" : "no disk image")
      .hint("a raw image or a block device; vrun image build-disk makes an image of a directory");
}

// Whoever made the image may have it read any file of the host (QEMU documentation, "Disk Image
// File Formats": backing files, external data files).
Result<void> check_alone(const DiskWish& wish, const Fd& file) {
  std::array<unsigned char, 104> head{};
  if (::pread(file.get(), head.data(), head.size(), 0) < 72)
    return refused(wish, Code::kInvalid, "no whole qcow2 image");
  const auto number = [&](std::size_t at, std::size_t bytes) {
    std::uint64_t value = 0;  // big endian
    for (std::size_t i = 0; i < bytes; ++i)
      value = value << 8U | head[at + i];
    return value;
  };
  constexpr std::uint64_t kExternalData = 1U << 2U;
  const bool leads_out =
      number(8, 8) != 0 || (number(4, 4) >= 3 && (number(72, 8) & kExternalData) != 0);
  if (!leads_out) return {};
  return refused(wish, Code::kInvalid, "the image needs other files, which it names itself")
      .hint("qemu-img convert -O qcow2 FILE NEW makes it whole");
}

Result<void> check_content(const DiskWish& wish, const Fd& file) {
  const off_t end = ::lseek(file.get(), 0, SEEK_END);
  if (end < 0) return Error::system(errno, "find the size of " + quote(wish.file));
  if (!wish.qcow2 && (end == 0 || end % kSector != 0)) {
    return refused(wish, Code::kInvalid,
                   "its size (" + std::to_string(end) + " bytes) is no multiple of 512, and not 0")
        .hint("a raw image has one; `truncate -s %512 FILE` makes it whole");
  }
  const std::string format = TRY(vm::foreign_format(file));
  if (wish.qcow2 && format == "qcow2") return check_alone(wish, file);
  if (wish.qcow2) return refused(wish, Code::kInvalid, "no qcow2 image").hint("leave format= away");
  if (format.empty()) return {};
  return refused(wish, Code::kInvalid, "it is a " + format + " image, and a raw one is wanted")
      .hint(format == "qcow2" ? "FILE:format=qcow2 copies it for the guest"
                              : "qemu-img convert -O raw FILE FILE.raw");
}

bool says_root(const RunRequest& request) {
  return std::any_of(request.kernel_parameters.begin(), request.kernel_parameters.end(),
                     [](const std::string& word) { return word.starts_with("root="); });
}

std::vector<std::string> disk_files(const RunRequest& request) {
  std::vector<std::string> files;
  for (const std::string& text : request.disks)
    files.push_back(text.substr(0, text.find(':')));
  return files;
}

std::string own_copy(const std::string& guest_path, std::size_t disk) {
  return fs::join(guest_path, "disk-" + std::to_string(disk) + ".raw");
}

Result<Fd> open_unlocked(const DiskWish& wish) {
  const Result<struct stat> file = sys::stat(At::cwd(), wish.file);
  if (!file) {
    return Error(file.error().code(), "--disk " + file.error().text())
        .hint("vrun image build-disk makes one of a directory or an image");
  }
  TRY(check_kind(wish, *file));
  // A block device that is mounted or otherwise in use says so (open(2), O_EXCL).
  const int exclusive = S_ISBLK(file->st_mode) && !wish.read_only ? O_EXCL : 0;
  Fd disk = TRY(sys::open(At::cwd(), wish.file,
                          (wish.read_only ? O_RDONLY : O_RDWR) | O_NONBLOCK | exclusive));
  const struct stat opened = TRY(sys::stat(disk.get()));
  TRY(check_kind(wish, opened));
  TRY(check_content(wish, disk));
  return disk;
}

// A journal that was not closed cannot be replayed on a disk that takes no writes (ext4(5),
// xfs(5)).
std::string read_only_words(const std::string& type) {
  if (type == "ext4") return " rootflags=noload ro";
  return type == "xfs" ? " rootflags=norecovery ro" : " ro";
}

Result<std::string> root_words(const RunRequest& request, const Fd& first) {
  if (says_root(request)) return std::string();
  const DiskWish wish = TRY(parse_disk(request.disks.front()));
  const std::optional<vm::RootPlace> root = TRY(vm::find_root(first));
  if (wish.qcow2 && !root && TRY(vm::foreign_format(first)) == "qcow2") return std::string();
  if (root) {
    const std::string number = root->partition == 0 ? "" : std::to_string(root->partition);
    return "root=/dev/vda" + number + " rootfstype=" + root->type +
           (wish.read_only ? read_only_words(root->type) : " rw");
  }
  if (!request.initrd.empty()) return std::string();
  return refused(
             wish, Code::kInvalid,
             "no root file system is found on it: neither ext4, xfs nor btrfs on the whole disk "
             "or a partition")
      .hint(
          "--kernel-parameter root=/dev/vda2 says where it is, --initrd FILE brings what finds it");
}

std::string dotted_mask(std::uint64_t prefix) {
  const std::uint32_t bits =
      prefix == 0 ? 0 : ~std::uint32_t{0} << (32 - std::min<std::uint64_t>(prefix, 32));
  return network::to_text(network::Ipv4{bits});
}

// The forms of dracut.cmdline(7), which other initramfs know as well.
std::string address_words(const vm::GuestCard& card) {
  std::string words = " ifname=" + card.name + ":" + card.mac;
  for (const std::string& text : card.addresses) {
    const std::string address = text.substr(0, text.find('/'));
    const std::string prefix = text.substr(text.find('/') + 1);
    const bool six = address.find(':') != std::string::npos;
    std::string gateway;
    for (const std::string& one : card.gateways)
      if ((one.find(':') != std::string::npos) == six) gateway = six ? "[" + one + "]" : one;
    const std::string mask = six ? prefix : dotted_mask(parse_u64(prefix).value_or(32));
    words += " ip=" + (six ? "[" + address + "]" : address) + "::" + gateway + ":" + mask +
             "::" + card.name + ":off";
  }
  return words;
}

}  // namespace

oci::ImageConfig config_of_disk() {
  oci::ImageConfig config;
  config.cmd = {"/sbin/init"};
  return config;
}

Result<std::size_t> disk_named(const RunRequest& request, const std::string& flag,
                               const std::string& name) {
  const std::vector<std::string> files = disk_files(request);
  for (std::size_t i = 0; i < files.size(); ++i)
    if (files[i] == name) return i;
  for (std::size_t i = 0; i < files.size(); ++i)
    if (!name.starts_with('/') && fs::base_name(files[i]) == fs::base_name(name)) return i;
  return Error(Code::kInvalid, flag + " " + quote(name) + ": not a disk of the guest")
      .hint(files.empty() ? "it has none: a micro-VM with an image has no disk whose speed could "
                            "be limited"
                          : "its disks: " + join(files, ", "));
}

std::string disk_name(const std::string& text) {
  return sha256_hex(text.substr(0, text.find(':'))).substr(0, 12);
}

Result<DiskWish> parse_disk(const std::string& text) {
  const std::size_t colon = text.find(':');
  DiskWish wish{.file = text.substr(0, colon)};
  const auto fault = [&](const std::string& why) {
    return Error(Code::kInvalid, "--disk " + quote(text) + ": " + why)
        .hint("FILE, FILE:ro, FILE:format=qcow2");
  };
  if (wish.file.empty()) return fault("no file");
  if (colon == text.npos) return wish;
  for (const std::string_view option : split(std::string_view(text).substr(colon + 1), ',')) {
    if (option == "format=qcow2") {
      wish.qcow2 = true;
    } else if (option == "ro" || option == "rw") {
      wish.read_only = option == "ro";
    } else if (option != "format=raw") {
      return fault("no such option: " + quote(option));
    }
  }
  return wish;
}

Result<void> check_disks(const RunRequest& request) {
  const bool kernel_asked =
      !request.kernel.empty() || !request.initrd.empty() || !request.kernel_parameters.empty();
  if (request.isolation != "vm" && (is_disk_guest(request) || kernel_asked)) {
    return Error(Code::kInvalid,
                 "--disk, --kernel, --initrd and --kernel-parameter are for micro-VMs")
        .hint("add --isolation vm");
  }
  if (!is_disk_guest(request) && !request.initrd.empty()) {
    return Error(Code::kUnsupported,
                 "--initrd with an image: the first process of such a guest is vrun's own")
        .hint("--initrd is for guests with --disk");
  }
  for (const std::string& word : request.kernel_parameters) {
    const bool good = !word.empty() && word.find_first_of(" \n\t") == word.npos;
    if (!good)
      return Error(Code::kInvalid, "--kernel-parameter " + quote(word) + ": not one word")
          .hint("give the flag once for each");
  }
  if (request.isolation == "vm") TRY(limits_of_disks(request));
  if (!is_disk_guest(request)) return {};
  for (const std::string& text : request.disks)
    TRY(parse_disk(text));
  if (request.disks.size() > kMostDisks)
    return Error(Code::kInvalid, "--disk: a guest has at most 16 disks");
  std::string faults;
  for (const Refusal& refusal : kRefusals) {
    if (!refusal.asked(request)) continue;
    faults += (faults.empty() ? "" : "; ") + std::string(refusal.flags) + ": " +
              std::string(refusal.reason);
  }
  if (faults.empty()) return {};
  return Error(Code::kUnsupported, "--disk with " + faults).hint("leave that away");
}

void settle_disks(RunRequest& request, const std::string& cwd) {
  for (std::string* path : {&request.kernel, &request.initrd}) {
    if (path->empty() || path->starts_with('/')) continue;
    if (path == &request.initrd || path->find('/') != std::string::npos)
      *path = fs::clean(fs::join(cwd, *path));
  }
  for (std::string& disk : request.disks) {
    if (!disk.empty() && disk[0] != '/' && disk[0] != ':') disk = fs::clean(fs::join(cwd, disk));
  }
  if (!is_disk_guest(request) || !request.detach) return;
  request.tty = request.tty.value_or(true);
  request.interactive = request.interactive.value_or(true);
}

Result<std::vector<vm::DiskLimits>> limits_of_disks(const RunRequest& request) {
  struct Row {
    const char* flag;
    const std::vector<std::string>& texts;
    std::uint64_t vm::DiskLimits::*limit;
    bool bytes;
  };
  using L = vm::DiskLimits;
  const std::array rows{
      Row{"--device-read-bps", request.device_read_bps, &L::read_bytes, true},
      Row{"--device-write-bps", request.device_write_bps, &L::write_bytes, true},
      Row{"--device-read-iops", request.device_read_iops, &L::read_operations, false},
      Row{"--device-write-iops", request.device_write_iops, &L::write_operations, false}};
  std::vector<vm::DiskLimits> limits(request.disks.size());
  for (const Row& row : rows) {
    for (const std::string& text : row.texts) {
      const std::size_t colon = std::min(text.rfind(':'), text.size());
      const std::string rate = colon == text.size() ? "" : text.substr(colon + 1);
      const auto number = row.bytes ? parse_bytes(rate) : parse_u64(rate);
      if (!number)
        return Error(Code::kInvalid, std::string(row.flag) + " " + quote(text) + ": not FILE:RATE")
            .hint("such as " + (request.disks.empty() ? "FILE" : disk_files(request).front()) +
                  ":1m; 0: no limit");
      const std::size_t disk = TRY(disk_named(request, row.flag, text.substr(0, colon)));
      limits[disk].*row.limit = *number;
    }
  }
  return limits;
}

Result<Fd> open_disk(const DiskWish& wish) {
  Fd disk = TRY(open_unlocked(wish));
  TRY(lock(wish, disk));
  return disk;
}

Result<void> copy_disks(const RunRequest& request, const std::string& guest_path) {
  for (std::size_t i = 0; i < request.disks.size(); ++i) {
    const DiskWish wish = TRY(parse_disk(request.disks[i]));
    if (!wish.qcow2) continue;
    const Fd source = TRY(open_unlocked({wish.file, true, true}));
    const std::string copy = own_copy(guest_path, i);
    Command convert;
    convert.path = "qemu-img";
    // No backing file, whatever the image says by now: who owns it may have written to it since.
    convert.argv = {"qemu-img",
                    "convert",
                    "-O",
                    "raw",
                    R"(json:{"driver":"qcow2","backing":null,"file":{"driver":"file","filename":)"
                    R"("/proc/self/fd/)" +
                        std::to_string(source.get()) + "\"}}",
                    copy};
    convert.env = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"};
    convert.keep = {source.get()};
    convert.timeout = std::chrono::minutes(60);
    Result<Finished> done = run(convert);
    if (!done && done.error().code() == Code::kNotFound)
      return std::move(done).error().hint("apt install qemu-utils");
    if (!done) return std::move(done).error();
    if (done->exit.code() != 0)
      return refused(wish, Code::kInvalid, "qemu-img: " + printable(trim(done->output)));
    const Fd made = TRY(open_unlocked({copy, wish.read_only, false}));
    if (i == 0) TRY(root_words(request, made));
  }
  return {};
}

Result<std::vector<DiskWish>> disks_of(const RunRequest& request, const std::string& guest_path) {
  std::vector<DiskWish> disks;
  for (std::size_t i = 0; i < request.disks.size(); ++i) {
    DiskWish wish = TRY(parse_disk(request.disks[i]));
    if (wish.qcow2) wish = {own_copy(guest_path, i), wish.read_only, false};
    disks.push_back(std::move(wish));
  }
  return disks;
}

Result<void> check_disks_host(const RunRequest& request) {
  if (!request.initrd.empty()) {
    Result<struct stat> initrd = sys::stat(At::cwd(), request.initrd);
    if (!initrd) return std::move(std::move(initrd).error().during("--initrd"));
    if (!S_ISREG(initrd->st_mode))
      return Error(Code::kInvalid, "--initrd " + quote(request.initrd) + ": no regular file");
  }
  std::optional<Fd> first;
  for (const std::string& text : request.disks) {
    const DiskWish wish = TRY(parse_disk(text));
    Fd disk = TRY(open_unlocked(wish));
    if (!first) first = std::move(disk);
  }
  if (first) TRY(root_words(request, *first));
  return {};
}

Result<std::string> boot_words(const RunRequest& request, const Fd& first,
                               std::span<const vm::GuestCard> cards, std::string_view resolv) {
  std::string words = TRY(root_words(request, first));
  for (const vm::GuestCard& card : cards)
    words += address_words(card);
  constexpr std::string_view kServer = "nameserver ";
  for (const std::string_view line : split(resolv, '\n')) {
    if (!cards.empty() && line.starts_with(kServer))
      words += " nameserver=" + std::string(trim(line.substr(kServer.size())));
  }
  if (!request.hostname.empty()) words += " systemd.hostname=" + request.hostname;
  return words;
}

Result<void> refuse_for_disk(const RunRequest& request, std::string_view verb) {
  if (!is_disk_guest(request)) return {};
  return Error(Code::kUnsupported,
               std::string(verb) + ": the guest has a disk of its own, of which vrun sees no files")
      .hint("its disk is " + parse_disk(request.disks.front()).value_or(DiskWish{}).file);
}

}  // namespace vrun::engine
