// Sending: blobs whole or in chunks, mounts between repositories, manifests.
#include <algorithm>
#include <thread>

#include "base/text.hpp"
#include "images/transfer/registry.hpp"

namespace vrun::images {
namespace {

using Clock = std::chrono::steady_clock;

// Up to here a broken upload is cheaper to repeat than to continue.
constexpr std::uint64_t kWholeBytes = 32U << 20U;
constexpr std::uint64_t kChunkBytes = 32U << 20U;
constexpr int kAttempts = 5;
constexpr const char* kOctets = "Content-Type: application/octet-stream";

std::string push_scope(const std::string& repository, const std::string& mount_from) {
  std::string scope = "repository:" + repository + ":pull,push";
  if (!mount_from.empty()) scope += " repository:" + mount_from + ":pull";
  return scope;
}

std::string with_digest(const std::string& location, const std::string& digest) {
  return location + (location.find('?') == std::string::npos ? "?" : "&") +
         "digest=" + url_encode(digest);
}

// "0-99" after an upload of 100 bytes; absent or "0-0" before the first.
std::uint64_t bytes_there(std::string_view range) {
  const std::size_t dash = range.find('-');
  if (dash == std::string_view::npos) return 0;
  const auto last = parse_u64(range.substr(dash + 1));
  return last && *last > 0 ? *last + 1 : 0;
}

}  // namespace

// An upload that the registry has opened.
struct Registry::Session {
  std::string scope, location;
  std::uint64_t sent = 0;
  std::uint64_t chunk = kChunkBytes;
};

Result<bool> Registry::has_blob(const std::string& repository, const std::string& digest) {
  deadline_ = Clock::now() + std::chrono::minutes(2);
  const Endpoint& origin = network_.origin();
  Call call;
  call.method = "HEAD";
  call.path = "/v2/" + repository + "/blobs/" + digest;
  call.scope = push_scope(repository, "");
  Result<HttpAnswer> answer = repeat(origin, call);
  if (answer) return true;
  if (answer.error().code() == Code::kNotFound) return false;
  return std::move(answer).error();
}

Result<void> Registry::send_whole(const Upload& upload, const Session& session) {
  Call call;
  call.method = "PUT";
  call.path = with_digest(session.location, upload.digest);
  call.headers = {kOctets};
  call.scope = session.scope;
  call.give = upload.give;
  call.give_bytes = upload.size;
  Outcome out = attempt(network_.origin(), call, nullptr);
  if (!out.error) return {};
  // A broken session is of no use: the caller opens another one.
  if (out.transient) return std::move(*out.error).with_code(Code::kTimeout);
  return std::move(*out.error);
}

Result<void> Registry::look_where_it_stands(const Upload& upload, Session& session) {
  Call call;
  call.path = session.location;
  call.scope = session.scope;
  std::string url;
  const HttpAnswer answer = TRY(repeat(network_.origin(), call, &url));
  const std::uint64_t there = bytes_there(answer.head.header("range"));
  if (there > upload.size) {
    return Error(Code::kInvalid, "the registry has more bytes than were sent");
  }
  session.sent = there;
  const std::string location(answer.head.header("location"));
  if (!location.empty()) session.location = TRY(parse_url(location, url)).text;
  return {};
}

Result<void> Registry::send_chunk(const Upload& upload, Session& session, std::uint64_t bytes) {
  Call call;
  call.method = "PATCH";
  call.path = session.location;
  call.headers = {kOctets, "Content-Range: " + std::to_string(session.sent) + "-" +
                               std::to_string(session.sent + bytes - 1)};
  call.scope = session.scope;
  call.give = upload.give;
  call.give_offset = session.sent;
  call.give_bytes = bytes;
  for (int i = 1;; ++i) {
    Outcome out = attempt(network_.origin(), call, nullptr);
    if (!out.error) {
      session.sent += bytes;
      session.location =
          TRY(parse_url(std::string(out.answer.head.header("location")), out.url)).text;
      return {};
    }
    if (!out.transient || i >= kAttempts) return std::move(*out.error);
    std::this_thread::sleep_for(std::chrono::milliseconds(200 << i));
    const std::uint64_t before = session.sent;
    TRY(look_where_it_stands(upload, session));
    if (session.sent != before) return {};  // the caller cuts the next chunk
    call.path = session.location;
  }
}

Result<void> Registry::send_chunks(const Upload& upload, Session session) {
  while (session.sent < upload.size) {
    TRY(send_chunk(upload, session, std::min(session.chunk, upload.size - session.sent)));
  }
  Call call;
  call.method = "PUT";
  call.path = with_digest(session.location, upload.digest);
  call.headers = {kOctets};
  call.scope = session.scope;
  TRY(repeat(network_.origin(), call));
  return {};
}

Result<Registry::Uploaded> Registry::upload(const Upload& upload) {
  deadline_ = Clock::now() + network_.timeouts.overall;
  Call open;
  open.method = "POST";
  open.path = "/v2/" + upload.repository + "/blobs/uploads/";
  if (!upload.mount_from.empty()) {
    open.path += "?mount=" + url_encode(upload.digest) + "&from=" + url_encode(upload.mount_from);
  }
  open.scope = push_scope(upload.repository, upload.mount_from);
  const auto during = [&](Error error) {
    return std::move(std::move(error).during("upload of blob " + upload.digest));
  };
  for (int i = 1;; ++i) {
    std::string url;
    Result<HttpAnswer> opened = repeat(network_.origin(), open, &url);
    if (!opened) return during(std::move(opened).error());
    if (opened->head.status == 201) return Uploaded::kMounted;
    Session session;
    session.scope = open.scope;
    session.location = TRY(parse_url(std::string(opened->head.header("location")), url)).text;
    if (const auto least = parse_u64(opened->head.header("oci-chunk-min-length"))) {
      session.chunk = std::max(session.chunk, *least);
    }
    Result<void> sent =
        upload.size <= kWholeBytes ? send_whole(upload, session) : send_chunks(upload, session);
    if (sent) return Uploaded::kSent;
    if (sent.error().code() != Code::kTimeout || i >= kAttempts || Clock::now() > deadline_) {
      return during(std::move(sent).error());
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(200 << i));
  }
}

Result<std::string> Registry::put_manifest(const std::string& repository,
                                           const std::string& reference,
                                           const std::string& media_type, const std::string& body) {
  deadline_ = Clock::now() + std::chrono::minutes(2);
  Call call;
  call.method = "PUT";
  call.path = "/v2/" + repository + "/manifests/" + reference;
  call.headers = {"Content-Type: " + media_type};
  call.scope = push_scope(repository, "");
  call.body = body;
  const HttpAnswer answer = TRY(repeat(network_.origin(), call));
  return std::string(answer.head.header("docker-content-digest"));
}

}  // namespace vrun::images
