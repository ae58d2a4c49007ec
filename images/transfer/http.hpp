// One HTTP exchange at a time, on libcurl: no redirects, no retries, no authentication of its own;
// those are decided in registry.cpp, where it is known what may be shown to whom.
//
// A client keeps its connection for the next exchange. Not thread-safe: one client for each thread.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace vrun::images {

// How far a server is to be trusted.
struct Trust {
  bool check_certificate = true;
  std::string ca_pem;  // the only authorities; empty: the system's
};

struct HttpHead {
  long status = 0;
  std::map<std::string, std::string> headers;  // names in lower case; repeated ones joined by ", "
  // Empty when absent.
  std::string_view header(std::string_view name) const;
};

struct HttpRequest {
  std::string method = "GET";
  std::string url;
  std::vector<std::string> headers;
  Trust trust;
  bool direct = false;  // whatever proxies the environment names
  std::string body;     // of POST and PUT, when `upload` is not set
  // Gives the bytes of an upload; 0 is the end. `rewind` is not needed: nothing is sent twice.
  std::function<Result<std::size_t>(std::span<char>)> upload;
  std::uint64_t upload_bytes = 0;
  std::chrono::milliseconds connect_timeout{10000};
  std::chrono::milliseconds stall_timeout{30000};
  std::chrono::steady_clock::time_point deadline = std::chrono::steady_clock::time_point::max();
  std::size_t body_limit = 1U << 20U;  // of an answer that is kept in memory
};

enum class HttpTrouble {
  kNone,
  kConnect,    // nobody answered there
  kNotTls,     // somebody did, but not in TLS
  kUntrusted,  // the certificate is not good
  kBroken,     // the connection ended too early
  kStalled,
  kDeadline,
  kSink,  // whoever took the bytes had enough; its error is the error
};

struct HttpAnswer {
  HttpTrouble trouble = HttpTrouble::kNone;
  std::optional<Error> error;  // set when there was trouble
  HttpHead head;
  std::string body;  // unless a sink took it
};

// Takes the body of a 2xx answer as it comes; other answers' bodies are kept (up to body_limit).
using HttpSink = std::function<Result<void>(const HttpHead& head, std::span<const char> bytes)>;

class HttpClient {
 public:
  HttpClient();
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  HttpAnswer perform(const HttpRequest& request, const HttpSink& sink = nullptr);

 private:
  void* handle_;  // CURL*
};

// Before any thread starts.
void prepare_http();

}  // namespace vrun::images
