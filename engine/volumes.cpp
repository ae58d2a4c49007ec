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

bool is_host_path(std::string_view source) {
  return source.starts_with('/') || source.starts_with("./") || source.starts_with("../") ||
         source == "." || source == "..";
}

Result<void> check_name(std::string_view flag, std::string_view text, std::string_view name) {
  if (is_volume_name(name)) return {};
  return Error(Code::kInvalid, std::string(flag) + " " + quote(text) + ": " + quote(name) +
                                   " is not a name for a volume")
      .hint(
          "letters, digits and the characters _ . -, a letter or digit first; a directory of the "
          "host begins with / or ./");
}

struct VolumeWords {
  bool read_only = false, id_mapped = true, copy = true;
};

Result<VolumeWords> volume_options(std::string_view text, std::string_view options) {
  VolumeWords words;
  for (const std::string_view option : split(options, ',')) {
    if (option == "ro") {
      words.read_only = true;
    } else if (option == "noidmap") {
      words.id_mapped = false;
    } else if (option == "nocopy") {
      words.copy = false;
    } else if (option != "rw") {
      return Error(Code::kInvalid, "--volume " + quote(text) + ": unknown option " + quote(option))
          .hint("there are ro, rw, noidmap and nocopy");
    }
  }
  return words;
}

}  // namespace

bool is_volume_name(std::string_view name) {
  constexpr std::size_t kLongest = 128;
  const auto is_plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  };
  return !name.empty() && name.size() <= kLongest && is_plain(name[0]) &&
         std::all_of(name.begin(), name.end(),
                     [&](char c) { return is_plain(c) || c == '_' || c == '.' || c == '-'; });
}

std::string absolute_volume(const std::string& text, const std::string& cwd) {
  const std::string source = text.substr(0, text.find(':'));
  const bool relative =
      source == "." || source == ".." || source.starts_with("./") || source.starts_with("../");
  if (!relative) return text;
  return fs::clean(fs::join(cwd, source)) + text.substr(source.size());
}

oci::Mount bind_of(std::string source, std::string target, bool read_only, bool id_mapped) {
  oci::Mount mount;
  mount.type = "bind";
  mount.source = std::move(source);
  mount.destination = std::move(target);
  mount.options = {"rbind", "rprivate", "nodev"};
  if (read_only) mount.options.emplace_back("rro");
  if (id_mapped) mount.options.emplace_back("ridmap");
  return mount;
}

Result<AskedMount> parse_volume(std::string_view text, const std::string& cwd) {
  const auto parts = split(text, ':');
  if (parts.size() > 3 || parts[0].empty()) {
    return Error(Code::kInvalid, "--volume " + quote(text) + ": not SOURCE:TARGET[:OPTIONS]")
        .hint("for example /srv/data:/data, ./site:/www:ro or NAME:/data");
  }
  AskedMount asked;
  if (parts.size() == 1) {
    asked.is_volume = true;
    asked.mount = bind_of("", TRY(check_target("--volume", text, parts[0])), false, true);
    return asked;
  }
  const VolumeWords words = TRY(volume_options(text, parts.size() == 3 ? parts[2] : "rw"));
  asked.mount =
      bind_of("", TRY(check_target("--volume", text, parts[1])), words.read_only, words.id_mapped);
  asked.copy = words.copy;
  if (is_host_path(parts[0])) {
    asked.mount.source = fs::clean(fs::join(parts[0].starts_with('/') ? "/" : cwd, parts[0]));
    return asked;
  }
  TRY(check_name("--volume", text, parts[0]));
  asked.is_volume = true;
  asked.volume = parts[0];
  return asked;
}

namespace {

// The words of --mount, under their first names.
struct MountWords {
  std::string type = "volume", source, target, propagation = "rprivate", size, mode;
  bool read_only = false, id_mapped = true, copy = true;
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
    } else if (key == "volume-nocopy") {
      words.copy = value == "false" || value == "0";
    } else {
      return Error(Code::kInvalid, "--mount " + quote(text) + ": unknown " + quote(key))
          .hint(
              "there are type, source, target, readonly, bind-propagation, noidmap, "
              "volume-nocopy, tmpfs-size, tmpfs-mode");
    }
  }
  return words;
}

oci::Mount memory_mount(const MountWords& words) {
  oci::Mount mount;
  mount.type = mount.source = "tmpfs";
  mount.options = {"nosuid", "nodev", "noexec"};
  if (!words.size.empty()) mount.options.push_back("size=" + words.size);
  if (!words.mode.empty()) mount.options.push_back("mode=" + words.mode);
  if (words.read_only) mount.options.emplace_back("ro");
  return mount;
}

Result<void> check_bind(std::string_view text, const MountWords& words) {
  constexpr std::array<std::string_view, 6> kPropagations{"private", "rprivate", "slave",
                                                          "rslave",  "shared",   "rshared"};
  if (std::find(kPropagations.begin(), kPropagations.end(), words.propagation) ==
      kPropagations.end()) {
    return Error(Code::kInvalid, "--mount " + quote(text) + ": unknown bind-propagation");
  }
  if (words.source.starts_with('/')) return {};
  return Error(Code::kInvalid, "--mount " + quote(text) + ": source is not an absolute path");
}

}  // namespace

Result<AskedMount> parse_mount(std::string_view text) {
  const MountWords words = TRY(split_mount(text));
  const std::string target = TRY(check_target("--mount", text, words.target));
  AskedMount asked;
  asked.copy = words.copy;
  asked.mount = bind_of("", target, words.read_only, words.id_mapped);
  if (words.type == "tmpfs") {
    asked.mount = memory_mount(words);
    asked.mount.destination = target;
  } else if (words.type == "volume") {
    asked.is_volume = true;
    asked.volume = words.source;
    if (!words.source.empty()) TRY(check_name("--mount", text, words.source));
  } else if (words.type == "bind") {
    TRY(check_bind(text, words));
    asked.mount.source = fs::clean(words.source);
    asked.mount.options[1] = words.propagation;
  } else {
    return Error(Code::kInvalid, "--mount " + quote(text) + ": unknown type " + quote(words.type))
        .hint("there are: bind, volume, tmpfs");
  }
  return asked;
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
