#include "engine/rights.hpp"

#include <algorithm>
#include <limits>
#include <span>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/fs.hpp"
#include "base/json.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "oci/reader.hpp"
#include "process/plan.hpp"

namespace vrun::engine {
namespace {

Error bad(const std::string& flag, const std::string& text, const char* why) {
  return Error(Code::kInvalid, flag + " " + quote(text) + ": " + why);
}

std::optional<std::uint64_t> parse_limit(std::string_view text) {
  if (text == "unlimited" || text == "-1") return std::numeric_limits<std::uint64_t>::max();
  return parse_u64(text);
}

Result<oci::Rlimit> parse_ulimit(const std::string& text) {
  const std::size_t sign = text.find('=');
  if (sign == std::string::npos) {
    return bad("--ulimit", text, "not NAME=SOFT[:HARD]").hint("such as nofile=1024:4096");
  }
  std::string name = "RLIMIT_" + text.substr(0, sign);
  std::transform(name.begin(), name.end(), name.begin(),
                 [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; });
  const std::vector<std::string> known = process::rlimit_names();
  if (std::find(known.begin(), known.end(), name) == known.end()) {
    // Without the prefix: what all names have in common makes none of them near.
    constexpr std::size_t kPrefix = std::string_view("RLIMIT_").size();
    std::vector<std::string_view> views;
    for (const std::string& one : known)
      views.push_back(std::string_view(one).substr(kPrefix));
    Error error = bad("--ulimit", text, "no such limit");
    const auto near = nearest(std::string_view(name).substr(kPrefix), views);
    if (!near) return std::move(error).hint("see setrlimit(2): nofile, nproc, core, memlock ...");
    std::string word(*near);
    std::transform(word.begin(), word.end(), word.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    return std::move(error).hint("did you mean " + word + "?");
  }
  const std::string_view values = std::string_view(text).substr(sign + 1);
  const std::size_t colon = values.find(':');
  const auto soft = parse_limit(values.substr(0, colon));
  const auto hard = colon == std::string_view::npos ? soft : parse_limit(values.substr(colon + 1));
  if (!soft || !hard) return bad("--ulimit", text, "not a number").hint("-1: no limit");
  if (*soft > *hard) return bad("--ulimit", text, "the soft limit is above the hard one");
  return oci::Rlimit{name, *soft, *hard};
}

Result<void> parse_one(const std::string& option, Security& security) {
  const std::size_t sign = std::min(option.find_first_of("=:"), option.size());
  const std::string key = option.substr(0, sign);
  const std::string value = sign < option.size() ? option.substr(sign + 1) : "";
  if (key == "no-new-privileges" && (value.empty() || value == "true" || value == "false")) {
    security.no_new_privileges = value != "false";
  } else if (key == "seccomp" && value == "unconfined") {
    security.unconfined = true;
  } else if (key == "seccomp" && !value.empty()) {
    security.seccomp_file = value;
  } else if (key == "apparmor" && !value.empty()) {
    security.apparmor = value;
  } else if (key == "label" && value == "disable") {
    // Nothing to take away: no guest gets a label.
  } else if (key == "label" && !value.empty()) {
    security.label = value;
  } else {
    return bad("--security-opt", option, "unknown")
        .hint(
            "there are: no-new-privileges, seccomp=FILE, seccomp=unconfined, apparmor=PROFILE, "
            "label=disable");
  }
  return {};
}

}  // namespace

std::string shared_guest(const std::string& text) {
  constexpr std::string_view kContainer = "container:";
  return text.starts_with(kContainer) ? text.substr(kContainer.size()) : std::string();
}

Result<Shares> parse_shares(const std::string& flag, const std::string& text) {
  if (text.empty() || text == "private") return Shares::kOwn;
  if (text == "host") return Shares::kHost;
  const bool joins = flag == "--pid" || flag == "--ipc";
  const char* hint =
      joins ? "there are: private, host, container:GUEST" : "there are: private, host";
  if (text.starts_with("container:")) {
    if (joins && !shared_guest(text).empty()) return Shares::kGuest;
    if (joins) return bad(flag, text, "names no guest").hint(hint);
    return Error(Code::kUnsupported,
                 flag + " " + quote(text) + ": only --pid, --ipc and --network join another guest")
        .hint(hint);
  }
  return bad(flag, text, "unknown").hint(hint);
}

std::vector<std::string> warnings_of(const RunRequest& request) {
  std::vector<std::string> warnings;
  const auto warn = [&](bool given, const char* text) {
    if (given) warnings.emplace_back(text);
  };
  warn(request.privileged && shares_user(request),
       "--privileged --userns host: the guest's root is the host's root with all its powers");
  warn(request.privileged && !shares_user(request),
       "--privileged: every capability of its own user namespace, no seccomp filter, no masked "
       "paths: the kernel's whole surface is open to the guest");
  warn(
      shares_user(request) && !request.privileged,
      "--userns host: the guest's root is the host's root; capabilities and filters alone hold it");
  warn(request.pid == "host", "--pid host: the guest sees every process of the host");
  warn(request.ipc == "host", "--ipc host: the guest shares the host's memory segments and queues");
  warn(request.uts == "host", "--uts host: the guest has the host's name");
  warn(request.network == "host",
       "--network host: every port of the host, loopback included, is the guest's too");
  warn(!shared_guest(request.ipc).empty(),
       "--ipc container: memory segments, semaphores and message queues are shared; /dev/shm is "
       "this guest's own");
  warn(request.cgroupns == "host", "--cgroupns host: the guest sees the names of all groups");
  return warnings;
}

Result<std::vector<oci::Rlimit>> parse_ulimits(const RunRequest& request) {
  std::vector<oci::Rlimit> limits;
  for (const std::string& text : request.ulimits) {
    oci::Rlimit limit = TRY(parse_ulimit(text));
    std::erase_if(limits, [&](const oci::Rlimit& one) { return one.type == limit.type; });
    limits.push_back(std::move(limit));
  }
  return limits;
}

Result<std::vector<std::pair<std::string, std::string>>> parse_sysctls(const RunRequest& request) {
  std::vector<std::pair<std::string, std::string>> knobs;
  for (const std::string& text : request.sysctls) {
    const std::size_t sign = text.find('=');
    if (sign == std::string::npos || sign == 0) {
      return bad("--sysctl", text, "not NAME=VALUE").hint("such as net.core.somaxconn=1024");
    }
    knobs.emplace_back(text.substr(0, sign), text.substr(sign + 1));
  }
  return knobs;
}

Result<std::map<std::string, std::string>> parse_annotations(const RunRequest& request) {
  std::map<std::string, std::string> annotations;
  for (const std::string& text : request.annotations) {
    const std::size_t sign = text.find('=');
    if (sign == std::string::npos || sign == 0) {
      return bad("--annotation", text, "not NAME=VALUE");
    }
    annotations[text.substr(0, sign)] = text.substr(sign + 1);
  }
  return annotations;
}

Result<std::optional<int>> parse_oom_score(const RunRequest& request) {
  if (request.oom_score_adj.empty()) return std::optional<int>();
  constexpr std::int64_t kMost = 1000;  // OOM_SCORE_ADJ_MAX
  const auto score = parse_i64(request.oom_score_adj);
  if (score && *score >= -kMost && *score <= kMost) {
    return std::optional(static_cast<int>(*score));
  }
  return bad("--oom-score-adj", request.oom_score_adj, "not a number from -1000 to 1000")
      .hint("1000: killed first; -1000: never");
}

Result<Security> parse_security(const RunRequest& request) {
  Security security;
  security.no_new_privileges = request.no_new_privileges;
  for (const std::string& option : request.security_opts)
    TRY(parse_one(option, security));
  return security;
}

Result<DeviceGrant> parse_device(const std::string& text) {
  const auto parts = split(text, ':');
  std::string inside(parts[0]), access = "rwm";
  const auto is_access = [](std::string_view word) {
    return !word.empty() && word.find_first_not_of("rwm") == std::string_view::npos;
  };
  if (parts.size() == 2 && is_access(parts[1])) {
    access = parts[1];
  } else if (parts.size() >= 2) {
    inside = parts[1];
  }
  if (parts.size() == 3) access = parts[2];
  const Result<struct stat> named = sys::stat(At::cwd(), std::string(parts[0]));
  const bool is_device = !named || S_ISCHR(named->st_mode) || S_ISBLK(named->st_mode);
  if (!is_device) {
    return bad("--device", text, "not a device but a file of another kind")
        .hint("devices are the nodes below /dev; --volume shows files inside");
  }
  const bool good = parts.size() <= 3 && parts[0].starts_with('/') && is_access(access) &&
                    fs::clean(inside).starts_with("/dev/");
  if (!good) {
    return bad("--device", text, "not PATH[:INSIDE[:rwm]]")
        .hint("such as /dev/fuse or /dev/ttyUSB0:/dev/modem:rw");
  }
  Result<struct stat> node = sys::stat(At::cwd(), std::string(parts[0]));
  if (!node) return std::move(node).error().during("--device");
  DeviceGrant grant;
  grant.mount.type = "bind";
  grant.mount.source = parts[0];
  grant.mount.destination = fs::clean(inside);
  grant.mount.options = {"bind", "rprivate", "nosuid", "noexec"};
  grant.rule.allow = true;
  grant.rule.type = S_ISBLK(node->st_mode) ? 'b' : 'c';
  grant.rule.major = static_cast<std::int64_t>(major(node->st_rdev));
  grant.rule.minor = static_cast<std::int64_t>(minor(node->st_rdev));
  grant.rule.access = access;
  return grant;
}

Result<std::vector<DeviceGrant>> parse_devices(const std::string& text) {
  const auto parts = split(text, ':');
  const std::string folder(parts[0]);
  const Result<struct stat> named = sys::stat(At::cwd(), folder);
  std::vector<DeviceGrant> grants;
  const std::string clean = fs::clean(folder);
  const bool in_dev = clean == "/dev" || clean.starts_with("/dev/");
  if (!named || !S_ISDIR(named->st_mode) || !in_dev || parts.size() > 3) {
    grants.push_back(TRY(parse_device(text)));
    return grants;
  }
  if (clean == "/dev") {
    return bad("--device", text, "all of /dev").hint("name the devices that the guest needs");
  }
  const bool has_inside = parts.size() > 1 && parts[1].starts_with('/');
  const std::string inside(has_inside ? parts[1] : parts[0]);
  const std::size_t words = has_inside ? 2 : 1;
  const std::string access = parts.size() > words ? ":" + std::string(parts[words]) : "";
  const Fd dir = TRY(sys::open_dir(At::cwd(), folder));
  for (const std::string& name : TRY(sys::list_dir(dir.get()))) {
    const Result<struct stat> node = sys::stat(dir, name, AT_SYMLINK_NOFOLLOW);
    const bool wanted =
        node && (S_ISDIR(node->st_mode) || S_ISCHR(node->st_mode) || S_ISBLK(node->st_mode));
    if (!wanted) continue;
    const std::string below = fs::join(folder, name) + ":" + fs::join(inside, name) + access;
    for (DeviceGrant& grant : TRY(parse_devices(below)))
      grants.push_back(std::move(grant));
  }
  return grants;
}

Result<void> check_rights(const RunRequest& request) {
  TRY(parse_shares("--userns", request.userns));
  TRY(parse_shares("--pid", request.pid));
  TRY(parse_shares("--ipc", request.ipc));
  TRY(parse_shares("--uts", request.uts));
  TRY(parse_shares("--cgroupns", request.cgroupns));
  TRY(parse_ulimits(request));
  TRY(parse_sysctls(request));
  TRY(parse_security(request));
  // Both belong to one user namespace, and a guest has one.
  if (!shared_guest(request.ipc).empty() && !shared_guest(request.pid).empty() &&
      request.ipc != request.pid) {
    return bad("--ipc", request.ipc, "not the guest of --pid")
        .hint("their users are shared: join one guest, " + request.pid);
  }
  TRY(parse_annotations(request));
  TRY(parse_oom_score(request));
  if (request.uts == "host" && !request.domainname.empty()) {
    return Error(Code::kInvalid, "--domainname and --uts host: the name is the host's");
  }
  if (request.uts == "host" && !request.hostname.empty()) {
    return Error(Code::kInvalid, "--hostname and --uts host: the name is the host's");
  }
  return {};
}

}  // namespace vrun::engine
