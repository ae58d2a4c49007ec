#include "engine/joined_guest.hpp"

#include "base/text.hpp"
#include "engine/rights.hpp"

namespace vrun::engine {
namespace {

Result<void> check(const Guest& other, const std::string& flag, const RunRequest& request) {
  const RunRequest& theirs = other.record.request;
  if (other.status != GuestStatus::kRunning) {
    return Error(Code::kState,
                 flag + ": guest " + quote(other.record.name) + " is " + to_text(other.status))
        .hint("it has to run: vrun start " + other.record.name);
  }
  if (shares_user(theirs) != shares_user(request)) {
    return Error(Code::kInvalid, flag + ": one of both has --userns host, the other has not")
        .hint("who shares processes has the same users: give --userns host to both");
  }
  if (theirs.pid == "host" || (theirs.ipc == "host" && !request.ipc.empty())) {
    return Error(Code::kInvalid, flag + ": guest " + quote(other.record.name) +
                                     " has none of its own, it shares the host's")
        .hint("say host, as it does");
  }
  return {};
}

}  // namespace

Result<std::optional<JoinedGuest>> find_joined(const Guests& guests, const RunRequest& request) {
  const std::string name = shared_guest(request.pid);
  if (name.empty()) return std::optional<JoinedGuest>();
  const bool ipc = !shared_guest(request.ipc).empty();
  const std::string flag = "--pid " + request.pid;
  const Guest other = TRY(guests.find(name));
  TRY(check(other, flag, request));
  JoinedGuest joined;
  joined.name = other.record.name;
  joined.process = TRY(runtime::open_init(guests.context(), other.record.id));
  joined.root_id = other.record.outside_root();
  const std::string dir = guests.host().proc + "/" + std::to_string(other.pid.value) + "/ns/";
  if (!shares_user(request)) joined.paths.user = dir + "user";
  joined.paths.pid = dir + "pid";
  if (ipc) joined.paths.ipc = dir + "ipc";
  return std::optional(std::move(joined));
}

}  // namespace vrun::engine
