#include "engine/guest_files.hpp"

#include "base/fs.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "engine/disk.hpp"

namespace vrun::engine {

Result<oci::ImageConfig> read_image_config(const Fd& guest_dir) {
  constexpr std::size_t kMost = 4U << 20U;
  const std::string text =
      TRY(fs::read_file(guest_dir, "image.json", kMost, fs::Kind::kRegularOnly));
  if (text.empty()) return config_of_disk();
  return oci::parse_image_config(text, "image.json");
}

GuestFiles files_of(const GuestRecord& record, std::uint32_t first_id) {
  const RunRequest& request = record.request;
  return {.hostname = request.hostname.empty() ? record.name : request.hostname,
          .root_uid = first_id,
          .root_gid = first_id,
          .host_network = request.network == "host",
          .add_hosts = request.add_hosts,
          .dns = request.dns,
          .dns_search = request.dns_search,
          .dns_options = request.dns_options};
}

Result<Fd> take_console(const Fd& monitor_dir) {
  const std::string text = TRY(fs::read_file(monitor_dir, "keeper", 64));
  const auto words = split(trim(text), ' ');
  const auto pid = parse_u64(words[0]);
  const auto fd = words.size() == 2 ? parse_u64(words[1]) : std::nullopt;
  const auto gone = [] {
    return Error(Code::kState, "the guest's terminal is lost: its monitor and keeper were killed");
  };
  if (!pid || !fd) return gone();
  const Result<Fd> keeper = sys::pidfd_open(Pid(static_cast<pid_t>(*pid)));
  const std::string name = "/proc/" + std::to_string(*pid) + "/comm";
  if (!keeper || fs::read_file(At::cwd(), name, 64).value_or("") != "vrun-keeper\n") return gone();
  return sys::pidfd_getfd(keeper->get(), static_cast<int>(*fd));
}

}  // namespace vrun::engine
