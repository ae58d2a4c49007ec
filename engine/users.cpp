#include "engine/users.hpp"

#include <algorithm>
#include <optional>
#include <vector>

#include "base/text.hpp"

namespace vrun::engine {
namespace {

// 2^32-1 means "unchanged" to the kernel and is nobody's id.
std::optional<std::uint32_t> parse_id(std::string_view text) {
  const auto number = parse_u64(text);
  if (!number || *number >= 0xFFFFFFFFU) return std::nullopt;
  return static_cast<std::uint32_t>(*number);
}

struct PasswdLine {
  std::string_view name, home, shell;
  std::uint32_t uid, gid;
};

std::optional<PasswdLine> find_user(std::string_view passwd, std::string_view name,
                                    std::optional<std::uint32_t> uid) {
  for (const std::string_view line : split(passwd, '\n')) {
    const auto fields = split(line, ':');
    if (fields.size() < 6) continue;
    const auto line_uid = parse_id(fields[2]);
    const auto line_gid = parse_id(fields[3]);
    if (!line_uid || !line_gid) continue;
    // A user called "1000" comes before the user id 1000, as in Docker.
    if (fields[0] == name || (uid && *line_uid == *uid)) {
      const std::string_view shell = fields.size() > 6 ? fields[6] : std::string_view();
      return PasswdLine{fields[0], fields[5], shell, *line_uid, *line_gid};
    }
  }
  return std::nullopt;
}

std::optional<std::uint32_t> find_group(std::string_view group, std::string_view name) {
  for (const std::string_view line : split(group, '\n')) {
    const auto fields = split(line, ':');
    if (fields.size() >= 3 && fields[0] == name) return parse_id(fields[2]);
  }
  return std::nullopt;
}

std::vector<Gid> groups_of(std::string_view group, std::string_view user, Gid main) {
  std::vector<Gid> gids;
  for (const std::string_view line : split(group, '\n')) {
    const auto fields = split(line, ':');
    if (fields.size() < 4) continue;
    const auto members = split(fields[3], ',');
    const auto gid = parse_id(fields[2]);
    if (!gid || std::find(members.begin(), members.end(), user) == members.end()) continue;
    if (Gid(*gid) != main) gids.emplace_back(*gid);
  }
  return gids;
}

Error not_in_image(std::string_view kind, std::string_view name) {
  return Error(Code::kNotFound, "no " + std::string(kind) + " " + quote(name) + " in the image")
      .hint("use a number, or a name that stands in the image's /etc/" +
            std::string(kind == "user" ? "passwd" : "group"));
}

}  // namespace

Result<Account> find_account(std::string_view wanted, std::string_view passwd,
                             std::string_view group) {
  Account account;
  const std::size_t colon = wanted.find(':');
  const std::string_view user = wanted.empty() ? "0" : wanted.substr(0, colon);
  if (user.empty()) return Error(Code::kInvalid, "user " + quote(wanted) + ": no user before ':'");
  const auto number = parse_id(user);
  const auto line = find_user(passwd, user, number);
  if (!line && !number) return not_in_image("user", user);
  account.user.uid = Uid(line ? line->uid : *number);
  account.user.gid = Gid(line ? line->gid : 0);
  if (line && !line->home.empty()) account.home = line->home;
  if (line) account.name = line->name;
  if (line) account.shell = line->shell;
  if (colon == std::string_view::npos) {
    if (line) account.user.additional_gids = groups_of(group, line->name, account.user.gid);
    return account;
  }
  const std::string_view group_name = wanted.substr(colon + 1);
  std::optional<std::uint32_t> gid = find_group(group, group_name);
  if (!gid) gid = parse_id(group_name);
  if (!gid) return not_in_image("group", group_name);
  account.user.gid = Gid(*gid);
  return account;
}

Result<void> add_groups(const std::vector<std::string>& wanted, std::string_view group,
                        Account& account) {
  for (const std::string& name : wanted) {
    std::optional<std::uint32_t> gid = find_group(group, name);
    if (!gid) gid = parse_id(name);
    if (!gid) return not_in_image("group", name);
    std::vector<Gid>& gids = account.user.additional_gids;
    if (std::find(gids.begin(), gids.end(), Gid(*gid)) == gids.end()) gids.emplace_back(*gid);
  }
  return {};
}

}  // namespace vrun::engine
