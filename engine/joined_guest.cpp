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
        .hint("who shares these has the same users: give --userns host to both");
  }
  const bool pid = !shared_guest(request.pid).empty(), ipc = !shared_guest(request.ipc).empty();
  if ((pid && theirs.pid == "host") || (ipc && theirs.ipc == "host")) {
    return Error(Code::kInvalid, flag + ": guest " + quote(other.record.name) +
                                     " has none of its own, it shares the host's")
        .hint("say host, as it does");
  }
  return {};
}

}  // namespace

Result<std::optional<JoinedGuest>> find_joined(const Guests& guests, const RunRequest& request) {
  const bool pid = !shared_guest(request.pid).empty(), ipc = !shared_guest(request.ipc).empty();
  if (!pid && !ipc) return std::optional<JoinedGuest>();
  const std::string name = shared_guest(pid ? request.pid : request.ipc);
  const std::string flag = pid ? "--pid " + request.pid : "--ipc " + request.ipc;
  const Guest other = TRY(guests.find(name));
  TRY(check(other, flag, request));
  JoinedGuest joined;
  joined.name = other.record.name;
  joined.process = TRY(runtime::open_init(guests.context(), other.record.id));
  joined.root_id = other.record.outside_root();
  const std::string dir = guests.host().proc + "/" + std::to_string(other.pid.value) + "/ns/";
  if (!shares_user(request)) joined.paths.user = dir + "user";
  if (pid) joined.paths.pid = dir + "pid";
  if (ipc) joined.paths.ipc = dir + "ipc";
  return std::optional(std::move(joined));
}

}  // namespace vrun::engine
