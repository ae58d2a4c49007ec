// vrun's agent in a system that has an init of its own: what exec, shell, top and health checks
// need there, and what only vrun image build-disk or the system's admin can put in.
#pragma once

#include <string_view>

#include "base/result.hpp"
#include "engine/guests.hpp"
#include "engine/users.hpp"

namespace vrun::engine {

// For guests with a disk of their own (others always have it): the agent answers. A system whose
// disk build-disk has made is waited for while it boots; another one is asked once. kUnsupported
// says how the agent is put in.
Result<void> find_agent(const Guests& guests, const GuestRecord& record, std::string_view verb);

// A user ("user[:group]", empty: root) as the system's own passwd and group name him.
Result<Account> account_in_system(const Guests& guests, const GuestRecord& record,
                                  std::string_view user);

}  // namespace vrun::engine
