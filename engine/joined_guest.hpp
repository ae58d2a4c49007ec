// --pid and --ipc container:GUEST: living in namespaces of another guest.
//
// A pid or ipc namespace belongs to a user namespace, and only there it has rights over what is in
// it: a guest that joins one joins the other's user namespace as well, and has its ids. With the
// other's first process the kernel kills all of its pid namespace, so nobody has the ids any more
// when they are given back; that is why --ipc container:GUEST needs --pid container:GUEST.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "engine/guest_spec.hpp"
#include "engine/guests.hpp"

namespace vrun::engine {

// The guest that is joined; it runs. Empty when the flags name none.
struct JoinedGuest {
  std::string name;
  Fd process;                 // held until ours is made: its number is not used again
  std::uint32_t root_id = 0;  // what the root of both is outside
  JoinedNamespaces paths;
};
Result<std::optional<JoinedGuest>> find_joined(const Guests& guests, const RunRequest& request);

}  // namespace vrun::engine
