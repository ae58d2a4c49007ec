// The user namespace in which an unprivileged user's everyday guests live.
//
// Without root a command can neither mount an overlay, nor give files to other ids, nor look into a
// guest whose processes are not its own. So each command first goes into a user namespace where the
// user is root: 0 is the user, 1 and up are the user's ranges of /etc/subuid and /etc/subgid. There
// is one such namespace for all guests of a run directory, and no process that only keeps it: it
// lives for as long as a guest, a monitor or a command is in it, and the next command joins it
// through whichever of them is alive (the owner of a user namespace has all capabilities in it,
// user_namespaces(7)). When none is, a new one is made; it has the same ids.
//
//   run/namespace/lock     held while one joins or makes it
//                 PID      a command or monitor in it; holds its start time
//                 guest-ID the first process of a guest, whose user namespace is a child of it
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/host.hpp"
#include "base/id.hpp"
#include "base/result.hpp"
#include "engine/places.hpp"
#include "engine/users.hpp"
#include "oci/spec.hpp"

namespace vrun::engine {

// This process's note that it is in the namespace; taken away on drop.
class NamespaceMember {
 public:
  // Root is left where it is. A user's process has changed when this returns: it is root of the
  // namespace, has a mount namespace of its own, `host` says so, and the environment of programs
  // that it starts names the same places. Single-threaded callers only.
  static Result<NamespaceMember> enter(const Places& places, Host& host);
  // For a process that is in it already: a child, or the program that a monitor becomes.
  static Result<NamespaceMember> note(const Places& places, const Host& host);
  NamespaceMember() = default;
  NamespaceMember(NamespaceMember&& other) noexcept;
  NamespaceMember& operator=(NamespaceMember&& other) noexcept;
  NamespaceMember(const NamespaceMember&) = delete;
  NamespaceMember& operator=(const NamespaceMember&) = delete;
  ~NamespaceMember();
  void keep() { path_.clear(); }  // for a process that goes on as another program

 private:
  explicit NamespaceMember(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

// A guest's first process keeps the namespace when its command and its monitor are killed.
Result<void> note_guest(const Places& places, const Host& host, const std::string& id, Pid pid);
void forget_guest(const Places& places, const Host& host, const std::string& id);

// The maps of the namespace. Both have 0 -> `own` and, from 1 on, the ranges that the lines
// "NAME:START:COUNT" or "UID:START:COUNT" of `subid` give to the user.
std::vector<oci::IdMapping> user_mappings(std::string_view subid, std::string_view name,
                                          std::uint32_t uid, std::uint32_t own);
// The user's name in the text of /etc/passwd; empty: has none.
std::string name_of_user(std::string_view passwd, std::uint32_t uid);

// All ids of our user namespace as a guest's own: each is itself. In as many pieces as the maps of
// the namespace have, since a line of a map may not reach over two lines of the map above it.
std::vector<oci::IdMapping> namespace_ids(const Host& host);
std::vector<oci::IdMapping> namespace_ids(std::string_view uid_map, std::string_view gid_map);

// Empty, or what an unprivileged user with just one id has to know before images are unpacked.
std::string single_id_warning(const Host& host);
// Is the account an id of the namespace?
Result<void> check_account(const Account& account, const Host& host);

}  // namespace vrun::engine
