#include "rootfs/devices.hpp"

#include <algorithm>
#include <array>

#include <sys/stat.h>

#include "base/fs.hpp"
#include "base/text.hpp"
#include "rootfs/mounts.hpp"

namespace vrun::rootfs {
namespace {

struct DefaultDevice {
  std::string_view path;
  std::uint32_t major, minor;
};

// config-linux.md, "Default Devices"; /dev/ptmx and /dev/console are made elsewhere.
constexpr auto kDefaultDevices = std::to_array<DefaultDevice>({
    {"/dev/null", 1, 3},
    {"/dev/zero", 1, 5},
    {"/dev/full", 1, 7},
    {"/dev/random", 1, 8},
    {"/dev/urandom", 1, 9},
    {"/dev/tty", 5, 0},
});

struct Link {
  std::string_view target, path;
  bool replace;
};

// An image may have a /dev/ptmx of its own, which would be the host's multiplexer: it makes way.
constexpr auto kLinks = std::to_array<Link>({
    {"pts/ptmx", "/dev/ptmx", true},
    {"/proc/self/fd", "/dev/fd", false},
    {"/proc/self/fd/0", "/dev/stdin", false},
    {"/proc/self/fd/1", "/dev/stdout", false},
    {"/proc/self/fd/2", "/dev/stderr", false},
});

constexpr std::uint32_t kDefaultMode = 0666;

bool is_dev_from_host(const oci::Spec& spec) {
  return std::ranges::any_of(spec.mounts, [](const oci::Mount& mount) {
    return target_of(mount) == "/dev" && is_bind(mount, parse_options(mount.options));
  });
}

void add_device(steps::Builder& builder, steps::DeviceArgs args, std::string_view path, bool bind,
                const std::string& where) {
  args.path = builder.text(path);
  args.source_fd = -1;
  // Only nodes with a number are forbidden in a user namespace; a fifo can be made there.
  args.host_path = bind && !S_ISFIFO(args.mode) ? args.path : nullptr;
  builder.add(steps::Op::kDevice, args, {where, ""});
}

std::uint32_t file_type(char type) {
  switch (type) {
    case 'b':
      return S_IFBLK;
    case 'p':
      return S_IFIFO;
    default:
      return S_IFCHR;  // 'c', and 'u' is another name for it
  }
}

Result<std::string> checked_path(const oci::Device& device) {
  const auto parts = split(device.path, '/');
  const bool climbs = std::ranges::find(parts, "..") != parts.end();
  std::string path = fs::clean(device.path);
  if (climbs || !path.starts_with("/dev/")) {
    return Error(Code::kInvalid, "device path " + quote(device.path) + " is not below /dev");
  }
  return path;
}

// The kernel's limits (MINORBITS): larger numbers would name another device.
Result<void> check_numbers(const oci::Device& device) {
  if (device.type == 'p') return {};
  const bool fits = device.major >= 0 && device.major < (1 << 12) && device.minor >= 0 &&
                    device.minor < (1 << 20);
  if (fits) return {};
  return Error(Code::kInvalid, "device number " + std::to_string(device.major) + ":" +
                                   std::to_string(device.minor) + " does not exist");
}

Result<void> plan_device(const oci::Device& device, bool bind, const std::string& where,
                         steps::Builder& builder) {
  const std::string path = TRY(checked_path(device));
  TRY(check_numbers(device));
  const bool fifo = device.type == 'p';
  const steps::DeviceArgs args{
      .path = nullptr,
      .mode = file_type(device.type) | (device.file_mode.value_or(kDefaultMode) & 07777U),
      .major = fifo ? 0U : static_cast<std::uint32_t>(device.major),
      .minor = fifo ? 0U : static_cast<std::uint32_t>(device.minor),
      .uid = device.uid.value_or(Uid(0)).value,
      .gid = device.gid.value_or(Gid(0)).value,
      .source_fd = -1,
      .host_path = nullptr};
  add_device(builder, args, path, bind, where);
  return {};
}

bool is_configured(const oci::Spec& spec, std::string_view path) {
  return std::ranges::any_of(spec.linux.devices, [path](const oci::Device& device) {
    return fs::clean(device.path) == path;
  });
}

void plan_default_devices(const oci::Spec& spec, bool bind, steps::Builder& builder) {
  for (const DefaultDevice& device : kDefaultDevices) {
    if (is_configured(spec, device.path)) continue;
    const steps::DeviceArgs args{.path = nullptr,
                                 .mode = S_IFCHR | kDefaultMode,
                                 .major = device.major,
                                 .minor = device.minor,
                                 .uid = 0,
                                 .gid = 0,
                                 .source_fd = -1,
                                 .host_path = nullptr};
    add_device(builder, args, device.path, bind, "");
  }
}

void plan_links(const Host& host, steps::Builder& builder) {
  for (const Link& link : kLinks) {
    const steps::SymlinkArgs args{builder.text(link.target), builder.text(link.path), link.replace};
    builder.add(steps::Op::kMakeSymlink, args);
  }
  // As in runc: only where the kernel has it.
  struct stat core {};
  if (::stat((host.proc + "/kcore").c_str(), &core) != 0) return;
  const steps::SymlinkArgs args{builder.text("/proc/kcore"), builder.text("/dev/core"), false};
  builder.add(steps::Op::kMakeSymlink, args);
}

}  // namespace

Result<void> plan_devices(const oci::Spec& spec, const Options& options, const Host& host,
                          steps::Builder& builder) {
  if (is_dev_from_host(spec)) return {};
  const bool bind = options.new_user_namespace;
  plan_default_devices(spec, bind, builder);
  for (std::size_t i = 0; i < spec.linux.devices.size(); ++i) {
    // Its link to the container's own devpts stands there.
    if (fs::clean(spec.linux.devices[i].path) == "/dev/ptmx") continue;
    const std::string where = "linux.devices[" + std::to_string(i) + "]";
    auto planned = plan_device(spec.linux.devices[i], bind, where, builder);
    if (!planned) return std::move(planned).error().at(where + ".path");
  }
  plan_links(host, builder);
  return {};
}

}  // namespace vrun::rootfs
