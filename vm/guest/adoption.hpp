// How the guest's own process comes to a new host connection.
//
// Its session (a process of its own) loses its connection when the machine goes on from a snapshot.
// The next host asks for it by kAdopt, which another session gets and hands on.
#pragma once

#include <string>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "base/sys.hpp"
#include "vm/guest/connection.hpp"
#include "vm/guest/request.hpp"

namespace vrun::vm {

class Adoptions {
 public:
  static Result<Adoptions> create();

  // The session that was asked hands its connection on; the other one goes on with it.
  Result<void> hand_on(const Connection& connection) const;
  // Waits for as long as it takes.
  Result<Connection> wait() const;

 private:
  explicit Adoptions(sys::SocketPair ends) : ends_(std::move(ends)) {}
  sys::SocketPair ends_;
};

// The machine learns that it is another one: the time, random numbers of its own, its
// interfaces, and its host name for the guest, whose first process is `pid`.
Result<void> become(const AdoptRequest& request, Pid pid);

}  // namespace vrun::vm
