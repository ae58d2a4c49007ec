// One run of `criu swrk`: CRIU as a child that serves one request over a socket.
//
// CRIU opens folders through /proc/<our pid>/fd, so descriptors named in a request have to stay
// open here. Descriptors to be inherited keep their numbers. With rst_sibling the restored process
// becomes our child. CRIU ends with the session: at the latest when it sees our end of the socket
// gone.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "base/sys.hpp"
#include "criu_rpc.pb.h"

namespace vrun::criu {

class Session {
 public:
  static Result<Session> start(const std::string& program, const std::vector<int>& inherited);
  Session(Session&&) noexcept = default;
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  Session& operator=(Session&&) = delete;
  ~Session();

  // Called for each notification; an error makes CRIU give up and undo what it did.
  using OnNotify = std::function<Result<void>(const rpc::Notification&, const Fd& fd)>;
  // The answer to the request. CRIU's "no" is an answer with success == false.
  Result<rpc::Response> ask(const rpc::Request& request, const OnNotify& on_notify);
  // What CRIU wrote to stderr: it does so before it has a log.
  std::string complaint() const;

 private:
  Session(Fd socket, Fd process, Fd complaints)
      : socket_(std::move(socket)),
        process_(std::move(process)),
        complaints_(std::move(complaints)) {}
  Result<void> send(const rpc::Request& request);

  Fd socket_, process_, complaints_;
};

}  // namespace vrun::criu
