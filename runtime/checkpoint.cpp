#include "runtime/checkpoint.hpp"

#include <array>
#include <cerrno>

#include <fcntl.h>
#include <unistd.h>

#include "base/fs.hpp"
#include "base/json_writer.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "runtime/criu_call.hpp"
#include "runtime/outside.hpp"
#include "runtime/record.hpp"
#include "runtime/removal.hpp"

namespace vrun::runtime {
namespace {

constexpr const char* kLogName = "dump.log";
constexpr const char* kDescriptorsName = "descriptors.json";

Result<void> make_images_dir(const CheckpointOptions& options) {
  Result<void> made = fs::make_dirs(At::cwd(), options.criu.image_path, 0700);
  if (!made) return std::move(made).error().at("--image-path");
  return {};
}

// It names a folder relative to the images, so that both can be moved together.
Result<void> check_parent(const CheckpointOptions& options, const CriuFolders& folders) {
  if (options.parent_path.empty()) return {};
  if (options.parent_path.starts_with('/'))
    return Error(Code::kInvalid, "flag --parent-path: " + quote(options.parent_path) +
                                     " is not relative to the folder of --image-path");
  Result<Fd> parent = sys::open_dir(folders.images, options.parent_path);
  if (!parent) return std::move(parent).error().at("--parent-path");
  return {};
}

Result<void> check_status_fd(const CheckpointOptions& options) {
  if (!options.criu.lazy_pages || options.status_fd < 0) return {};
  const std::string flag = "flag --status-fd " + std::to_string(options.status_fd);
  const int flags = ::fcntl(options.status_fd, F_GETFL);
  if (flags < 0) return Error::system(errno, flag).with_code(Code::kInvalid);
  if ((flags & O_ACCMODE) != O_RDONLY) return {};
  return Error(Code::kInvalid, flag + ": the descriptor is not writable");
}

// "address:port"; an IPv6 address stands in brackets.
Result<void> set_page_server(const std::string& text, criu::Order& order) {
  if (text.empty()) return {};
  const std::size_t colon = text.rfind(':');
  const std::uint64_t port =
      (colon == text.npos ? std::nullopt : parse_u64(std::string_view(text).substr(colon + 1)))
          .value_or(65536);
  std::string address = text.substr(0, colon == text.npos ? 0 : colon);
  if (address.starts_with('[') && address.ends_with(']'))
    address = address.substr(1, address.size() - 2);
  if (port > 65535 || address.empty()) {
    return Error(Code::kInvalid, "flag --page-server: " + quote(text) + " is not ADDRESS:PORT");
  }
  order.page_server_address = address;
  order.page_server_port = static_cast<int>(port);
  return {};
}

struct Target {
  Folder folder;
  Folder::Loaded loaded;
  Info info;
  oci::Spec spec;
};

Result<Target> open_target(const Context& context, const std::string& id) {
  Folder folder = TRY(Folder::open(context.root, id, Folder::Lock::kExclusive));
  Folder::Loaded loaded = TRY(folder.load());
  Info info = TRY(read_info(folder, loaded, context.host));
  if (info.status != Status::kRunning && info.status != Status::kPaused) {
    return Error(Code::kState, "container cannot be checkpointed in " +
                                   std::string(to_text(info.status)) + " state")
        .at(id);
  }
  oci::Spec spec = TRY(folder.load_config());
  return Target{std::move(folder), std::move(loaded), std::move(info), std::move(spec)};
}

Result<void> write_descriptors(const CriuFolders& folders, const std::vector<std::string>& stdio) {
  json::Writer writer;
  writer.value(std::span<const std::string>(stdio));
  return fs::replace_file(folders.images, kDescriptorsName, writer.take(), 0600);
}

Result<criu::Order> make_order(const Target& target, const CheckpointOptions& options,
                               const std::string& program, const CriuFolders& folders) {
  criu::Order order = TRY(base_order(program, options.criu, folders, target.info.annotations));
  order.action = options.pre_dump ? criu::Action::kPreDump : criu::Action::kDump;
  order.log_file = kLogName;
  order.pid = target.info.pid.value;
  order.leave_running = options.leave_running;
  order.parent_images = options.parent_path;
  TRY(set_page_server(options.page_server, order));
  const auto& paths = target.loaded.record.cgroup.paths;
  const auto freezer = paths.find("");
  if (freezer != paths.end()) order.freeze_cgroup = freezer->second;
  return order;
}

// The pages of a lazy checkpoint can be fetched from now on.
Result<void> announce_pages(int status_fd) {
  if (status_fd < 0) return {};
  TRY(sys::write_all(status_fd, std::string_view("\0", 1)));
  ::close(status_fd);
  return {};
}

Result<void> dump(const Context& context, const CheckpointOptions& options,
                  const std::string& program, const Target& target) {
  TRY(make_images_dir(options));
  const CriuFolders folders = TRY(open_criu_folders(options.criu));
  TRY(check_parent(options, folders));
  CriuCall call;
  call.order = TRY(make_order(target, options, program, folders));
  call.folders = &folders;
  const CgroupYard yard =
      TRY(CgroupYard::create(target.folder.dir(), target.loaded.record.cgroup, call.order));
  // A pre-dump saves memory and nothing else.
  if (!options.pre_dump) {
    Outside outside = TRY(look_outside(target.spec, target.info.pid, options.criu.shell_job));
    TRY(write_descriptors(folders, outside.stdio));
    call.order.external_mounts = std::move(outside.mounts);
    call.order.externals = std::move(outside.externals);
  }
  call.on_notify = [&options](const criu::Event& event, const Fd&) -> Result<void> {
    if (event.script == "status-ready") return announce_pages(options.status_fd);
    return {};
  };
  TRY(call_criu(call, context.host));
  return {};
}

}  // namespace

Result<void> checkpoint(const Context& context, const CheckpointOptions& options) {
  const std::string program = TRY(find_criu(context.host, options.criu));
  TRY(check_status_fd(options));
  Target target = TRY(open_target(context, options.id));
  TRY(check_restorable(target.spec));
  TRY(dump(context, options, program, target));
  if (options.leave_running || options.pre_dump) return {};
  return remove_container(target.folder, target.loaded, context.host);
}

}  // namespace vrun::runtime
