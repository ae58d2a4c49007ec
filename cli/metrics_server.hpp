// `vrun metrics --listen`: a text over HTTP/1.1 for a scraper on this host.
//
// Bounded in all that strangers choose: connections at once, bytes of a request, seconds for a
// request and for taking the answer. Beyond that a connection is closed; the others go on. One
// answer for each connection.
#pragma once

#include <functional>
#include <string>

#include "base/fd.hpp"
#include "base/host.hpp"
#include "base/result.hpp"

namespace vrun::cli {

// "unix:/run/x/metrics", "127.0.0.1:9100", "[::1]:9100" or "localhost:9100": whoever may reach it
// may read it, so nothing but loopback and unix sockets is taken. Port 0: a free one. "systemd":
// the one socket that LISTEN_FDS hands over, wherever it leads.
Result<Fd> listen_for_metrics(const std::string& where, const Host& host);
// "127.0.0.1:41234": as the kernel has it.
std::string address_of(const Fd& listener);

using MakeText = std::function<Result<std::string>()>;
// Until SIGTERM or SIGINT.
Result<void> serve_metrics(const Fd& listener, const MakeText& make);

// What is answered to a whole request head; pure.
std::string http_answer(const std::string& head, const MakeText& make);

}  // namespace vrun::cli
