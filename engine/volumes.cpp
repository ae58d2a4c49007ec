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

namespace {

// The words of --mount, under their first names.
struct MountWords {
  std::string type = "volume", source, target, propagation = "rprivate", size, mode;
  bool read_only = false, id_mapped = true;
};

Result<MountWords> split_mount(std::string_view text) {
  MountWords words;
  const auto is = [](std::string_view key, std::initializer_list<std::string_view> names) {
    return std::find(names.begin(), names.end(), key) != names.end();
  };
  for (const std::string_view part : split(text, ',')) {
    const std::size_t sign = std::min(part.find('='), part.size());
    const std::string_view key = part.substr(0, sign);
    const std::string value(sign < part.size() ? part.substr(sign + 1) : "");
    if (key == "type") {
      words.type = value;
    } else if (is(key, {"source", "src"})) {
      words.source = value;
    } else if (is(key, {"target", "dst", "destination"})) {
      words.target = value;
    } else if (is(key, {"readonly", "ro"})) {
      words.read_only = value.empty() || value == "true" || value == "1";
    } else if (key == "bind-propagation") {
      words.propagation = value;
    } else if (key == "tmpfs-size") {
      words.size = value;
    } else if (key == "tmpfs-mode") {
      words.mode = value;
    } else if (key == "noidmap") {
      words.id_mapped = false;
    } else {
      return Error(Code::kInvalid, "--mount " + quote(text) + ": unknown " + quote(key))
          .hint(
              "there are type, source, target, readonly, bind-propagation, noidmap, tmpfs-size, "
              "tmpfs-mode");
    }
  }
  return words;
}

}  // namespace

Result<oci::Mount> parse_mount(std::string_view text) {
  const MountWords words = TRY(split_mount(text));
  oci::Mount mount;
  mount.destination = TRY(check_target("--mount", text, words.target));
  mount.type = words.type;
  if (words.type == "tmpfs") {
    mount.source = "tmpfs";
    mount.options = {"nosuid", "nodev", "noexec"};
    if (!words.size.empty()) mount.options.push_back("size=" + words.size);
    if (!words.mode.empty()) mount.options.push_back("mode=" + words.mode);
    if (words.read_only) mount.options.emplace_back("ro");
    return mount;
  }
  if (words.type == "volume") {
    return Error(Code::kUnsupported,
                 "--mount " + quote(text) + ": named volumes come with a later version")
        .hint("there are type=bind and type=tmpfs");
  }
  if (words.type != "bind") {
    return Error(Code::kInvalid, "--mount " + quote(text) + ": unknown type " + quote(words.type))
        .hint("there are: bind, tmpfs");
  }
  constexpr std::array<std::string_view, 6> kPropagations{"private", "rprivate", "slave",
                                                          "rslave",  "shared",   "rshared"};
  if (std::find(kPropagations.begin(), kPropagations.end(), words.propagation) ==
      kPropagations.end()) {
    return Error(Code::kInvalid, "--mount " + quote(text) + ": unknown bind-propagation");
  }
  if (!words.source.starts_with('/')) {
    return Error(Code::kInvalid, "--mount " + quote(text) + ": source is not an absolute path");
  }
  mount.source = fs::clean(words.source);
  mount.options = {"rbind", words.propagation, "nodev"};
  if (words.read_only) mount.options.emplace_back("rro");
  if (words.id_mapped) mount.options.emplace_back("ridmap");
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
