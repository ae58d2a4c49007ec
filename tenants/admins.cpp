#include "tenants/admins.hpp"

#include <algorithm>
#include <optional>

#include "base/fs.hpp"
#include "base/text.hpp"

namespace vrun::tenants {
namespace {

constexpr std::size_t kMostBytes = 16U << 20U;

// Lines that make no sense are passed over, as getpwent(3) does.
struct Line {
  std::string_view name;
  std::uint32_t id;
};
std::vector<Line> parse(std::string_view text) {
  std::vector<Line> lines;
  for (const std::string_view line : split(text, '\n')) {
    const auto fields = split(line, ':');
    if (fields.size() < 4 || fields[0].empty()) continue;
    const auto id = parse_u64(fields[2]);
    if (id && *id < 0xFFFFFFFFU) lines.push_back({fields[0], static_cast<std::uint32_t>(*id)});
  }
  return lines;
}

struct Admin {
  bool is_group;
  std::string_view name;
};
std::optional<Admin> parse_admin(std::string_view text) {
  constexpr std::string_view kUser = "user:", kGroup = "group:";
  if (text.starts_with(kUser) && text.size() > kUser.size()) {
    return Admin{false, text.substr(kUser.size())};
  }
  if (text.starts_with(kGroup) && text.size() > kGroup.size()) {
    return Admin{true, text.substr(kGroup.size())};
  }
  return std::nullopt;
}

std::optional<std::uint32_t> id_of(const std::vector<Line>& lines, std::string_view name) {
  for (const Line& line : lines) {
    if (line.name == name) return line.id;
  }
  return std::nullopt;
}

std::string unknown(const Admin& admin, const std::vector<Line>& lines) {
  std::string text = "no such " + std::string(admin.is_group ? "group " : "user ") +
                     quote(admin.name) + " in /etc/" + (admin.is_group ? "group" : "passwd");
  std::vector<std::string_view> names;
  for (const Line& line : lines)
    names.push_back(line.name);
  if (const auto near = nearest(admin.name, names)) text += ", did you mean " + quote(*near) + "?";
  return text;
}

}  // namespace

Accounts Accounts::of_host() {
  const auto read = [](const char* path) {
    return fs::read_file(At::cwd(), path, kMostBytes, fs::Kind::kRegularOnly).value_or("");
  };
  return {read("/etc/passwd"), read("/etc/group")};
}

void check_admins(std::span<const std::string> admins, const Accounts& accounts,
                  json::Faults& faults) {
  const std::vector<Line> users = parse(accounts.passwd), groups = parse(accounts.group);
  for (const std::string& text : admins) {
    const auto admin = parse_admin(text);
    if (!admin) {
      faults.add("--admin", quote(text) + " is not user:NAME or group:NAME");
      continue;
    }
    const std::vector<Line>& lines = admin->is_group ? groups : users;
    if (!id_of(lines, admin->name)) faults.add("--admin", unknown(*admin, lines));
  }
}

bool is_admin(std::span<const std::string> admins, const Accounts& accounts, Uid uid,
              std::span<const Gid> gids) {
  const std::vector<Line> users = parse(accounts.passwd), groups = parse(accounts.group);
  return std::any_of(admins.begin(), admins.end(), [&](const std::string& text) {
    const auto admin = parse_admin(text);
    if (!admin) return false;
    const auto id = id_of(admin->is_group ? groups : users, admin->name);
    if (!id) return false;
    if (!admin->is_group) return *id == uid.value;
    return std::find(gids.begin(), gids.end(), Gid(*id)) != gids.end();
  });
}

std::string user_name(const Accounts& accounts, Uid uid) {
  for (const Line& line : parse(accounts.passwd)) {
    if (line.id == uid.value) return std::string(line.name);
  }
  return std::to_string(uid.value);
}

}  // namespace vrun::tenants
