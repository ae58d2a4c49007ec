// A micro-VM whose programs stand still, and which has written out what it held back.
//
// Its kernel passes on each write() at once, but not what programs write to files that they have
// mapped: that it does when it likes. So a picture of the files wants more than a frozen machine.
#pragma once

#include <string>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "engine/guests.hpp"

namespace vrun::engine {

class AgentFreeze {
 public:
  AgentFreeze() = default;  // nobody stands still
  // kTimeout when the agent in the guest has not done it within half a minute.
  static Result<AgentFreeze> begin(const Guests& guests, const GuestRecord& record);
  // The same of a machine whose sockets lie in `dir`.
  static Result<AgentFreeze> begin_in(const std::string& dir);
  AgentFreeze(AgentFreeze&&) noexcept = default;
  AgentFreeze& operator=(AgentFreeze&&) noexcept = default;
  // Where the machine itself is frozen, it has to go on before. When vrun is killed instead, the
  // programs go on five seconds later.
  ~AgentFreeze() { end(); }

  void end();
  explicit operator bool() const { return static_cast<bool>(agent_); }

 private:
  explicit AgentFreeze(Fd agent) : agent_(std::move(agent)) {}
  Fd agent_;
};

}  // namespace vrun::engine
