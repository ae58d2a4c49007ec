// The distribution specification 1.1 as a client: manifests and blobs, down and up.
//
// Runs in the network process (courier.hpp). What it hands out is not verified: whoever takes the
// bytes checks digests. It does keep the promises that belong to the wire: credentials go to the
// registry they are for and to its token service only, never to a host that a redirect names, and
// never over plain HTTP unless the registry is marked insecure; broken transfers are continued by
// range requests and repeated with back-off; no more bytes than declared are read; stalls and
// whole transfers have deadlines.
#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "images/transfer/endpoint.hpp"
#include "images/transfer/http.hpp"

namespace vrun::images {

// What the threads of one network process learned about the endpoints. Thread-safe.
class Learned {
 public:
  std::string authorization(const std::string& key) const;
  void keep_authorization(const std::string& key, const std::string& header);
  std::string scheme(const std::string& host) const;  // "https" until something else was found
  void keep_scheme(const std::string& host, const std::string& scheme);

 private:
  mutable std::mutex mutex_;
  std::map<std::string, std::string> authorizations_, schemes_;
};

struct FetchedManifest {
  std::string body, media_type;  // of the header, without parameters
};

// For one thread.
class Registry {
 public:
  Registry(const Network& network, Learned& learned) : network_(network), learned_(learned) {}

  // `reference`: a tag or a digest.
  Result<FetchedManifest> manifest(const std::string& repository, const std::string& reference);
  using TakeBytes = std::function<Result<void>(std::span<const char>)>;
  // Hands over exactly `size` bytes, in order, each once, however often the connection breaks.
  Result<void> blob(const std::string& repository, const std::string& digest, std::uint64_t size,
                    const TakeBytes& take);

  // The user may talk to this registry: for `login`.
  Result<void> ping();

  Result<bool> has_blob(const std::string& repository, const std::string& digest);
  using GiveBytes = std::function<Result<std::size_t>(std::uint64_t offset, std::span<char>)>;
  struct Upload {
    std::string repository, digest;
    std::uint64_t size = 0;
    std::string mount_from;  // another repository there that has it; may be empty
    GiveBytes give;
  };
  enum class Uploaded { kSent, kMounted };
  Result<Uploaded> upload(const Upload& upload);
  // Answers the digest that the registry says; may be empty.
  Result<std::string> put_manifest(const std::string& repository, const std::string& reference,
                                   const std::string& media_type, const std::string& body);

 private:
  struct Call {
    std::string method = "GET";
    std::string path;  // "/v2/...", or a whole URL of the registry's making
    std::vector<std::string> headers;
    std::string scope;  // "repository:library/alpine:pull"; several are separated by a blank
    std::string body;
    GiveBytes give;  // instead of `body`: `give_bytes` from `give_offset` on, again at each attempt
    std::uint64_t give_offset = 0, give_bytes = 0;
    std::size_t body_limit = 1U << 20U;
  };
  // `transient`: worth another attempt.
  struct Outcome {
    HttpAnswer answer;
    std::optional<Error> error;
    bool transient = false;
    int attempts = 5;
    std::chrono::milliseconds pause{0};  // the server's wish
    std::string url;                     // where the answer came from
  };
  // One attempt: authorizes when asked to, follows redirects.
  Outcome attempt(const Endpoint& endpoint, const Call& call, const HttpSink& sink);
  // Attempts until one succeeds or fails for good.
  Result<HttpAnswer> repeat(const Endpoint& endpoint, const Call& call, std::string* url = nullptr);
  Outcome exchange(const Endpoint& endpoint, const Call& call, const HttpSink& sink,
                   const std::string& authorization);
  Outcome follow(const Endpoint& endpoint, const Call& call, const HttpSink& sink,
                 const std::string& authorization, const std::string& scheme);
  HttpRequest request_of(const Url& url, const Call& call) const;
  Result<void> check_target(const Endpoint& endpoint, const Url& url) const;
  Outcome judge(const Endpoint& endpoint, HttpAnswer answer, const std::string& url) const;
  Result<std::string> authorize(const Endpoint& endpoint, const HttpHead& head,
                                const std::string& scope);
  Result<std::string> fetch_token(const Endpoint& endpoint, const Challenge& challenge,
                                  const std::string& scope);

  Result<FetchedManifest> manifest_at(const Endpoint& endpoint, const std::string& repository,
                                      const std::string& reference);
  struct Download;
  Result<void> download(const Endpoint& endpoint, const std::string& repository, Download& state);
  Result<void> take_bytes(Download& state, const HttpHead& head, std::span<const char> bytes);

  struct Session;
  Result<void> send_whole(const Upload& upload, const Session& session);
  Result<void> send_chunks(const Upload& upload, Session session);
  Result<void> send_chunk(const Upload& upload, Session& session, std::uint64_t bytes);
  Result<void> look_where_it_stands(const Upload& upload, Session& session);

  const Network& network_;
  Learned& learned_;
  HttpClient client_;
  std::chrono::steady_clock::time_point deadline_{};  // of what is being done
};

// What a registry says about its refusal: the first message of its JSON, or nothing.
std::string registry_words(std::string_view body);

}  // namespace vrun::images
