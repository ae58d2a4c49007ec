#include "cgroups/layout.hpp"

#include <algorithm>
#include <array>
#include <optional>

#include <fcntl.h>
#include <linux/magic.h>

#include "base/fs.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"

namespace vrun::cgroups {
namespace {

constexpr std::size_t kMaxMountinfo = 64U << 20U;
constexpr std::size_t kMaxMembership = 1U << 20U;

// Words that mountinfo shows among the super options of a v1 mount and that are no controllers.
constexpr std::array<std::string_view, 12> kNotControllers = {
    "ro",     "rw",     "relatime",       "noprefix",     "clone_children", "xattr",
    "noexec", "nosuid", "cpuset_v2_mode", "favordynmods", "nofavordynmods", "all"};

bool is_controller(std::string_view option) {
  if (option.starts_with("name=")) return true;
  if (option.find('=') != std::string_view::npos || option.empty()) return false;
  return std::find(kNotControllers.begin(), kNotControllers.end(), option) == kNotControllers.end();
}

// mountinfo writes blank, tab, newline and backslash as \ooo (proc(5)).
std::string unescape(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    auto digit = [&](std::size_t at) {
      return at < text.size() && text[at] >= '0' && text[at] <= '7';
    };
    if (text[i] == '\\' && digit(i + 1) && digit(i + 2) && digit(i + 3)) {
      out += static_cast<char>(((text[i + 1] - '0') << 6) | ((text[i + 2] - '0') << 3) |
                               (text[i + 3] - '0'));
      i += 3;
      continue;
    }
    out += text[i];
  }
  return out;
}

struct MountLine {
  std::string root, mount, type;
  std::vector<std::string_view> super_options;
};

// "36 35 98:0 /root /mount options [optional ...] - type source super-options"
std::optional<MountLine> parse_mount_line(std::string_view line) {
  std::size_t dash = line.find(" - ");
  if (dash == std::string_view::npos) return std::nullopt;
  std::vector<std::string_view> left = split(line.substr(0, dash), ' ');
  std::vector<std::string_view> right = split(line.substr(dash + 3), ' ');
  if (left.size() < 6 || right.size() < 3) return std::nullopt;
  return MountLine{unescape(left[3]), unescape(left[4]), std::string(right[0]),
                   split(right[2], ',')};
}

bool is_below(std::string_view path, std::string_view root) {
  return path.starts_with(root) && (path.size() == root.size() || path[root.size()] == '/');
}

bool known(const Layout& layout, const V1Hierarchy& hierarchy) {
  return std::any_of(layout.v1.begin(), layout.v1.end(), [&](const V1Hierarchy& other) {
    return other.controllers == hierarchy.controllers;
  });
}

// Components with ".." that would leave the start are dropped, as path.Join of Go does.
std::string below(std::string_view base, std::string_view path) {
  std::string inner = fs::clean("/" + std::string(path));
  return inner == "/" ? std::string(base) : fs::join(base, inner);
}

Result<std::string> inner_path(const std::string& cgroups_path, const ContainerId& id) {
  if (cgroups_path.empty()) return id.str();
  // ".." ends at the top of what the path counts from.
  std::string path = fs::clean("/" + cgroups_path);
  if (path == "/") {
    return Error(Code::kInvalid, "cgroup path " + quote(cgroups_path) + " names the root")
        .at("linux.cgroupsPath")
        .hint("name a group of the container's own, such as /vrun/" + id.str());
  }
  return cgroups_path.front() == '/' ? path : path.substr(1);
}

const Membership* find_membership(const std::vector<Membership>& own,
                                  const std::vector<std::string>& controllers) {
  for (const Membership& line : own) {
    if (controllers.empty() && line.controllers.empty()) return &line;
    for (const std::string& controller : controllers) {
      if (std::find(line.controllers.begin(), line.controllers.end(), controller) !=
          line.controllers.end()) {
        return &line;
      }
    }
  }
  return nullptr;
}

// `path` of the hierarchy as seen through a mount that shows it from `root` on.
std::string through_mount(const V1Hierarchy& hierarchy, const std::string& path) {
  if (hierarchy.mount_root == "/") return below(hierarchy.mount, path);
  if (is_below(path, hierarchy.mount_root)) {
    return below(hierarchy.mount, path.substr(hierarchy.mount_root.size()));
  }
  return hierarchy.mount;  // our group is outside of what is mounted: the top of it is nearest
}

}  // namespace

bool V1Hierarchy::has(std::string_view controller) const {
  return std::find(controllers.begin(), controllers.end(), controller) != controllers.end();
}

std::string V1Hierarchy::name() const {
  return join(controllers, ",");
}

Layout parse_mountinfo(std::string_view text, std::string_view cgroup_root) {
  Layout layout;
  for (std::string_view line : split(text, '\n')) {
    std::optional<MountLine> mount = parse_mount_line(line);
    if (!mount || !is_below(mount->mount, cgroup_root)) continue;
    if (mount->type == "cgroup2" && layout.v2_mount.empty()) layout.v2_mount = mount->mount;
    if (mount->type != "cgroup") continue;
    V1Hierarchy hierarchy{{}, mount->mount, mount->root};
    for (std::string_view option : mount->super_options) {
      if (is_controller(option)) hierarchy.controllers.emplace_back(option);
    }
    if (!hierarchy.controllers.empty() && !known(layout, hierarchy)) {
      layout.v1.push_back(std::move(hierarchy));
    }
  }
  return layout;
}

Result<Layout> find_layout(const Host& host) {
  Result<Fd> root = sys::open(At::cwd(), host.cgroup_root, O_PATH | O_DIRECTORY);
  if (root && sys::fs_magic(root->get()) == CGROUP2_SUPER_MAGIC)
    return Layout{host.cgroup_root, {}};
  std::string text =
      TRY(fs::read_file(At::cwd(), fs::join(host.proc, "self/mountinfo"), kMaxMountinfo));
  return parse_mountinfo(text, host.cgroup_root);
}

std::vector<Membership> parse_membership(std::string_view text) {
  std::vector<Membership> lines;
  for (std::string_view line : split(text, '\n')) {
    std::size_t first = line.find(':');
    if (first == std::string_view::npos) continue;
    std::size_t second = line.find(':', first + 1);
    if (second == std::string_view::npos || second + 1 >= line.size()) continue;
    std::string_view path = line.substr(second + 1);
    if (path.front() != '/') continue;
    // A removed group is shown with this ending (cgroups(7)).
    if (path.ends_with(" (deleted)")) path.remove_suffix(10);
    Membership member{{}, std::string(path)};
    std::string_view names = line.substr(first + 1, second - first - 1);
    for (std::string_view name : split(names, ',')) {
      if (!name.empty()) member.controllers.emplace_back(name);
    }
    if (member.controllers.empty() && line.substr(0, first) != "0") continue;
    lines.push_back(std::move(member));
  }
  return lines;
}

Result<std::vector<Membership>> own_membership(const Host& host) {
  return parse_membership(
      TRY(fs::read_file(At::cwd(), fs::join(host.proc, "self/cgroup"), kMaxMembership)));
}

Result<std::string> v2_path(const std::string& cgroups_path, const ContainerId& id,
                            const std::vector<Membership>& own) {
  std::string inner = TRY(inner_path(cgroups_path, id));
  if (inner.front() == '/') return inner;
  const Membership* self = find_membership(own, {});
  std::string start = self == nullptr ? "/" : fs::clean(self->path);
  std::size_t slash = start.rfind('/');
  return below(slash == 0 ? "/" : start.substr(0, slash), inner);
}

Result<std::string> v1_dir(const V1Hierarchy& hierarchy, const std::string& cgroups_path,
                           const ContainerId& id, const std::vector<Membership>& own) {
  std::string inner = TRY(inner_path(cgroups_path, id));
  if (inner.front() == '/') return below(hierarchy.mount, inner);
  const Membership* self = find_membership(own, hierarchy.controllers);
  return below(through_mount(hierarchy, self == nullptr ? "/" : fs::clean(self->path)), inner);
}

}  // namespace vrun::cgroups
