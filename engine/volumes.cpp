#include "engine/volumes.hpp"

#include <algorithm>
#include <array>

#include "base/fs.hpp"
#include "base/text.hpp"

namespace vrun::engine {
namespace {

Result<std::string> check_target(std::string_view flag, std::string_view text,
                                 std::string_view target) {
  const std::string clean = fs::clean(target);
  if (target.starts_with('/') && clean != "/") return clean;
  return Error(Code::kInvalid, std::string(flag) + " " + quote(text) + ": " + quote(target) +
                                   " is not a path inside the guest")
      .hint("the target is absolute and not the root directory: /data");
}

Result<std::string> check_source(std::string_view text, std::string_view source,
                                 const std::string& cwd) {
  if (source.starts_with('/')) return fs::clean(source);
  if (source.starts_with("./") || source.starts_with("../") || source == "." || source == "..") {
    return fs::clean(fs::join(cwd, source));
  }
  return Error(Code::kUnsupported,
               "--volume " + quote(text) + ": named volumes come with a later version")
      .hint("a directory of the host begins with / or ./");
}

}  // namespace

Result<oci::Mount> parse_volume(std::string_view text, const std::string& cwd) {
  const auto parts = split(text, ':');
  if (parts.size() < 2 || parts.size() > 3 || parts[0].empty()) {
    return Error(Code::kInvalid, "--volume " + quote(text) + ": not SOURCE:TARGET[:OPTIONS]")
        .hint("for example /srv/data:/data or ./site:/www:ro");
  }
  oci::Mount mount;
  mount.type = "bind";
  mount.source = TRY(check_source(text, parts[0], cwd));
  mount.destination = TRY(check_target("--volume", text, parts[1]));
  mount.options = {"rbind", "rprivate", "nodev"};
  bool id_mapped = true;
  for (const std::string_view option : split(parts.size() == 3 ? parts[2] : "rw", ',')) {
    if (option == "ro") {
      mount.options.emplace_back("rro");
    } else if (option == "noidmap") {
      id_mapped = false;
    } else if (option != "rw") {
      return Error(Code::kInvalid, "--volume " + quote(text) + ": unknown option " + quote(option))
          .hint("there are ro, rw and noidmap");
    }
  }
  if (id_mapped) mount.options.emplace_back("ridmap");
  return mount;
}

Result<oci::Mount> parse_tmpfs(std::string_view text) {
  const std::size_t colon = text.find(':');
  oci::Mount mount;
  mount.type = "tmpfs";
  mount.source = "tmpfs";
  mount.destination = TRY(check_target("--tmpfs", text, text.substr(0, colon)));
  mount.options = {"nosuid", "nodev", "noexec"};
  if (colon == std::string_view::npos) return mount;
  for (const std::string_view option : split(text.substr(colon + 1), ',')) {
    if (option == "exec") std::erase(mount.options, "noexec");
    constexpr std::array<std::string_view, 6> kFlags{"ro",     "rw",   "exec",
                                                     "noexec", "suid", "nosuid"};
    const bool known = std::find(kFlags.begin(), kFlags.end(), option) != kFlags.end() ||
                       option.starts_with("size=") || option.starts_with("mode=") ||
                       option.starts_with("uid=") || option.starts_with("gid=");
    if (!known) {
      return Error(Code::kInvalid, "--tmpfs " + quote(text) + ": unknown option " + quote(option))
          .hint("there are size=, mode=, uid=, gid=, ro, rw, exec, noexec, suid, nosuid");
    }
    mount.options.emplace_back(option);
  }
  return mount;
}

}  // namespace vrun::engine
