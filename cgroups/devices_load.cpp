// The kernel's side of the device filter: loading, sharing and attaching programs by bpf(2).
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string_view>

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/digest.hpp"
#include "base/fd.hpp"
#include "base/fs.hpp"
#include "base/log.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "cgroups/devices.hpp"
#include "cgroups/knob.hpp"

namespace vrun::cgroups {
namespace {

constexpr std::size_t kMaxProgram = 1000000;  // BPF_COMPLEXITY_LIMIT_INSNS
constexpr std::string_view kNamePrefix = "vrun_";

int bpf(bpf_cmd command, bpf_attr& attr) {
  return static_cast<int>(syscall(SYS_bpf, command, &attr, sizeof(attr)));
}

std::uint64_t address(const void* pointer) {
  return reinterpret_cast<std::uintptr_t>(pointer);
}

bpf_attr zeroed() {
  bpf_attr attr;
  std::memset(&attr, 0, sizeof(attr));  // the kernel refuses junk in unused bytes
  return attr;
}

std::string digest_of(const std::vector<bpf_insn>& code) {
  return sha256_hex({reinterpret_cast<const char*>(code.data()), code.size() * sizeof(bpf_insn)});
}

// "vrun_" and the start of the digest: 15 characters are all a name can have.
std::string name_of(const std::string& digest) {
  return std::string(kNamePrefix) + digest.substr(0, 10);
}

// The verifier's own last words on a program that it refused.
std::string verifier_words(bpf_attr attr) {
  std::string log(1U << 20U, '\0');
  attr.log_level = 1;
  attr.log_size = static_cast<std::uint32_t>(log.size());
  attr.log_buf = address(log.data());
  Fd unexpected(bpf(BPF_PROG_LOAD, attr));
  log.resize(strnlen(log.data(), log.size()));
  std::string_view last;
  for (std::string_view line : split(log, '\n')) {
    if (!line.empty() && !line.starts_with("processed ")) last = line;
  }
  return printable(last);
}

Result<Fd> load(const std::vector<bpf_insn>& code, const std::string& name) {
  if (code.size() > kMaxProgram) {
    return unenforceable("linux.resources.devices", "the device rules are too many for one filter");
  }
  bpf_attr attr = zeroed();
  attr.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
  attr.expected_attach_type = BPF_CGROUP_DEVICE;
  attr.insn_cnt = static_cast<std::uint32_t>(code.size());
  attr.insns = address(code.data());
  attr.license = address("");  // no helper is called, so the kernel asks for no licence
  std::memcpy(attr.prog_name, name.c_str(), std::min(name.size(), sizeof(attr.prog_name) - 1));
  int fd = bpf(BPF_PROG_LOAD, attr);
  if (fd >= 0) return Fd(fd);
  if (errno == EINVAL) {
    return Error::system(errno, "load device filter")
        .at("linux.resources.devices")
        .with_code(Code::kUnsupported)
        .hint("the kernel needs CONFIG_CGROUP_BPF");
  }
  int why = errno;
  if (why == EPERM) return Error::system(why, "load device filter").at("linux.resources.devices");
  std::string words = verifier_words(attr);
  return Error::system(why, "load device filter: " + words).at("linux.resources.devices");
}

// The name of a program, empty if it is not a device filter.
std::string filter_name(int program) {
  bpf_prog_info info = {};
  bpf_attr attr = zeroed();
  attr.info.bpf_fd = static_cast<std::uint32_t>(program);
  attr.info.info_len = sizeof(info);
  attr.info.info = address(&info);
  if (bpf(BPF_OBJ_GET_INFO_BY_FD, attr) != 0) return "";
  if (info.type != BPF_PROG_TYPE_CGROUP_DEVICE) return "";
  return {info.name, strnlen(info.name, sizeof(info.name))};
}

// ---- programs shared by digest ----

class Pins {
 public:
  Pins(const std::string& bpffs, const std::string& digest)
      : dir_(fs::join(bpffs, "vrun")), path_(fs::join(dir_, "dev-" + digest)) {}

  // The program that is pinned under the digest; none if there is none that we can trust: the
  // directory has to be ours alone, and the program has to carry the digest's name.
  Fd find(const std::string& name) const {
    bpf_attr attr = zeroed();
    attr.pathname = address(path_.c_str());
    Fd program(bpf(BPF_OBJ_GET, attr));
    if (!program || !is_private() || filter_name(program.get()) != name) return Fd();
    return program;
  }

  // Failing to share is no failure: the program is loaded and works.
  void keep(int program) const {
    (void)sys::make_dir(At::cwd(), dir_, 0700);
    if (!is_private()) return;
    bpf_attr attr = zeroed();
    attr.pathname = address(path_.c_str());
    attr.bpf_fd = static_cast<std::uint32_t>(program);
    if (bpf(BPF_OBJ_PIN, attr) == 0) drop_oldest();
  }

 private:
  bool is_private() const {
    Result<Fd> dir = sys::open(At::cwd(), dir_, O_PATH | O_DIRECTORY | O_NOFOLLOW);
    if (!dir || sys::fs_magic(dir->get()) != BPF_FS_MAGIC) return false;
    Result<struct stat> info = sys::stat(dir->get());
    return info && info->st_uid == 0 && (info->st_mode & 0077) == 0;
  }

  void drop_oldest() const {
    Result<Fd> dir = sys::open_dir(At::cwd(), dir_);
    if (!dir) return;
    Result<std::vector<std::string>> names = sys::list_dir(dir->get());
    if (!names || names->size() <= kMaxPins) return;
    std::vector<std::pair<std::int64_t, std::string>> by_age;
    for (const std::string& name : *names) {
      Result<struct stat> info = sys::stat(*dir, name, AT_SYMLINK_NOFOLLOW);
      if (info)
        by_age.emplace_back(info->st_mtim.tv_sec * 1000000000 + info->st_mtim.tv_nsec, name);
    }
    std::sort(by_age.begin(), by_age.end());
    for (std::size_t i = 0; i + kMaxPins < by_age.size(); ++i) {
      (void)sys::unlink(*dir, by_age[i].second);
    }
  }

  std::string dir_, path_;
};

Result<Fd> find_or_load(const std::vector<bpf_insn>& code, const std::string& bpffs) {
  std::string digest = digest_of(code);
  Pins pins(bpffs, digest);
  Fd shared = pins.find(name_of(digest));
  if (shared) return shared;
  Fd loaded = TRY(load(code, name_of(digest)));
  pins.keep(loaded.get());
  return loaded;
}

// ---- the group ----

// Our programs on the group; those of others (systemd has its own for DevicePolicy=) stay.
Result<std::vector<Fd>> attached(int group) {
  std::array<std::uint32_t, 64> ids = {};
  bpf_attr attr = zeroed();
  attr.query.target_fd = static_cast<std::uint32_t>(group);
  attr.query.attach_type = BPF_CGROUP_DEVICE;
  attr.query.prog_cnt = ids.size();
  attr.query.prog_ids = address(ids.data());
  if (bpf(BPF_PROG_QUERY, attr) != 0) {
    return Error::system(errno, "query device filters").at("linux.resources.devices");
  }
  std::vector<Fd> programs;
  for (std::uint32_t i = 0; i < attr.query.prog_cnt; ++i) {
    bpf_attr by_id = zeroed();
    by_id.prog_id = ids[i];
    Fd program(bpf(BPF_PROG_GET_FD_BY_ID, by_id));
    if (program && filter_name(program.get()).starts_with(kNamePrefix)) {
      programs.push_back(std::move(program));
    }
  }
  return programs;
}

Result<void> attach(int group, int program, int replaced) {
  bpf_attr attr = zeroed();
  attr.target_fd = static_cast<std::uint32_t>(group);
  attr.attach_bpf_fd = static_cast<std::uint32_t>(program);
  attr.attach_type = BPF_CGROUP_DEVICE;
  attr.attach_flags = BPF_F_ALLOW_MULTI;
  if (replaced >= 0) {
    attr.attach_flags |= BPF_F_REPLACE;
    attr.replace_bpf_fd = static_cast<std::uint32_t>(replaced);
  }
  if (bpf(BPF_PROG_ATTACH, attr) == 0) return {};
  // The very program is attached already: nothing to change.
  if (errno == EINVAL && replaced >= 0 && filter_name(program) == filter_name(replaced)) return {};
  return Error::system(errno, "attach device filter").at("linux.resources.devices");
}

Result<void> detach(int group, int program) {
  bpf_attr attr = zeroed();
  attr.target_fd = static_cast<std::uint32_t>(group);
  attr.attach_bpf_fd = static_cast<std::uint32_t>(program);
  attr.attach_type = BPF_CGROUP_DEVICE;
  if (bpf(BPF_PROG_DETACH, attr) == 0) return {};
  return Error::system(errno, "detach device filter").at("linux.resources.devices");
}

Result<void> put_filter(int group, const std::vector<bpf_insn>& code, const std::string& bpffs) {
  std::vector<Fd> old = TRY(attached(group));
  std::size_t replaced = 0;
  if (!code.empty()) {
    Fd program = TRY(find_or_load(code, bpffs));
    TRY(attach(group, program.get(), old.empty() ? -1 : old.front().get()));
    replaced = 1;
  }
  for (std::size_t i = replaced; i < old.size(); ++i)
    TRY(detach(group, old[i].get()));
  return {};
}

// Root of a user namespace is no root to bpf(2).
bool in_user_namespace() {
  std::string map = fs::read_file(At::cwd(), "/proc/self/uid_map", 1U << 16U).value_or("");
  std::vector<std::string_view> words;
  for (std::string_view word : split(trim(map), ' ')) {
    if (!word.empty()) words.push_back(word);
  }
  return words.size() != 3 || words[0] != "0" || words[1] != "0" || words[2] != "4294967295";
}

}  // namespace

Result<void> filter_devices(int group, const std::vector<oci::DeviceRule>& rules, bool rootless,
                            const std::string& bpffs) {
  DeviceTables tables = TRY(normalise(rules));
  Result<void> done = put_filter(group, compile(tables), bpffs);
  if (done) return done;
  bool refused = done.error().sys_errno() == EPERM || done.error().sys_errno() == EACCES;
  if (!refused || (!rootless && !in_user_namespace())) return done;
  TRY(check_skippable(rules));
  log::debug("bpf(2) is not permitted to this user: device rules are left to file permissions");
  return {};
}

}  // namespace vrun::cgroups
