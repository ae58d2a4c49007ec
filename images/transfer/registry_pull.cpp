// Fetching: manifests and blobs.
#include <algorithm>
#include <thread>

#include "base/text.hpp"
#include "images/transfer/registry.hpp"

namespace vrun::images {
namespace {

using Clock = std::chrono::steady_clock;

constexpr auto kManifestDeadline = std::chrono::minutes(2);

std::string pull_scope(const std::string& repository) {
  return "repository:" + repository + ":pull";
}

std::string accept_line() {
  std::string line = "Accept: ";
  for (const std::string_view type :
       {oci::kManifestType, oci::kIndexType, oci::kDockerManifestType, oci::kDockerIndexType}) {
    if (!line.ends_with(' ')) line += ", ";
    line += type;
  }
  return line;
}

}  // namespace

Result<FetchedManifest> Registry::manifest_at(const Endpoint& endpoint,
                                              const std::string& repository,
                                              const std::string& reference) {
  const std::string there = endpoint.prefix + repository;
  Call call;
  call.path = "/v2/" + there + "/manifests/" + reference;
  call.headers = {accept_line()};
  call.scope = pull_scope(there);
  call.body_limit = oci::kMaxManifestBytes;
  Result<HttpAnswer> answer = repeat(endpoint, call);
  if (answer) {
    const std::string_view type = answer->head.header("content-type");
    return FetchedManifest{std::move(answer->body),
                           std::string(trim(type.substr(0, type.find(';'))))};
  }
  if (answer.error().code() != Code::kNotFound) return std::move(answer).error();
  const bool by_digest = reference.find(':') != std::string::npos;
  return Error(Code::kNotFound, "registry " + endpoint.name + ": no image " +
                                    quote(there + (by_digest ? "@" : ":") + reference))
      .hint("check the spelling; what is private needs `vrun login " + endpoint.name + "`");
}

Result<FetchedManifest> Registry::manifest(const std::string& repository,
                                           const std::string& reference) {
  deadline_ = Clock::now() + kManifestDeadline;
  for (const Endpoint& endpoint : network_.endpoints) {
    Result<FetchedManifest> found = manifest_at(endpoint, repository, reference);
    if (found || &endpoint == &network_.origin()) return found;
  }
  return Error(Code::kInternal, "no endpoint");
}

// A blob on its way, over all attempts and endpoints.
struct Registry::Download {
  std::string digest;
  std::uint64_t size = 0;
  const TakeBytes& take;
  std::uint64_t done = 0;  // handed over
  std::uint64_t skip = 0;  // of this answer: what an answer without range repeats
  bool head_checked = false;
};

Result<void> Registry::take_bytes(Download& state, const HttpHead& head,
                                  std::span<const char> bytes) {
  if (!state.head_checked) {
    state.head_checked = true;
    state.skip = 0;
    const auto length = parse_u64(head.header("content-length"));
    std::uint64_t declared = state.size;
    if (head.status == 206) {
      const auto range = parse_content_range(head.header("content-range"));
      if (!range || range->first != state.done || (range->total && *range->total != state.size)) {
        return Error(Code::kInvalid, "asked for the bytes from " + std::to_string(state.done) +
                                         " on, it answers with " +
                                         quote(head.header("content-range")));
      }
      declared -= state.done;
    } else {
      state.skip = state.done;
    }
    if (length && *length != declared) {
      return Error(Code::kInvalid, "it has " + std::to_string(*length) +
                                       " bytes to send, the manifest says " +
                                       std::to_string(declared));
    }
  }
  const std::size_t known = std::min<std::uint64_t>(state.skip, bytes.size());
  state.skip -= known;
  bytes = bytes.subspan(known);
  if (bytes.size() > state.size - state.done) {
    return Error(Code::kInvalid,
                 "it has more bytes than the " + std::to_string(state.size) + " of the manifest");
  }
  if (bytes.empty()) return {};
  TRY(state.take(bytes));
  state.done += bytes.size();
  return {};
}

Result<void> Registry::download(const Endpoint& endpoint, const std::string& repository,
                                Download& state) {
  const std::string there = endpoint.prefix + repository;
  Call call;
  call.path = "/v2/" + there + "/blobs/" + state.digest;
  call.scope = pull_scope(there);
  std::uint64_t done_before = state.done;
  for (int i = 1;; ++i) {
    call.headers.clear();
    if (state.done > 0) call.headers = {"Range: bytes=" + std::to_string(state.done) + "-"};
    state.head_checked = false;
    Outcome out = attempt(endpoint, call, [&](const HttpHead& head, std::span<const char> bytes) {
      return take_bytes(state, head, bytes);
    });
    if (!out.error && state.done == state.size) return {};
    if (!out.error) {
      out.error = Error(Code::kSystem, "the connection ended after " + std::to_string(state.done) +
                                           " of " + std::to_string(state.size) + " bytes");
      out.transient = true;
    }
    if (state.done > done_before) i = 1;  // it moves on: as patient as at first
    done_before = state.done;
    if (!out.transient || i >= out.attempts) return std::move(*out.error);
    const auto pause = std::max(out.pause, std::chrono::milliseconds(200 << std::min(i - 1, 4)));
    if (Clock::now() + pause > deadline_) {
      return std::move(*out.error).detail("took too long altogether");
    }
    std::this_thread::sleep_for(pause);
  }
}

Result<void> Registry::blob(const std::string& repository, const std::string& digest,
                            std::uint64_t size, const TakeBytes& take) {
  deadline_ = Clock::now() + network_.timeouts.overall;
  Download state{.digest = digest, .size = size, .take = take};
  for (const Endpoint& endpoint : network_.endpoints) {
    Result<void> done = download(endpoint, repository, state);
    if (done) return {};
    if (&endpoint != &network_.origin()) continue;
    return std::move(done).error().during("registry " + endpoint.name + ": blob " + digest);
  }
  return Error(Code::kInternal, "no endpoint");
}

}  // namespace vrun::images
