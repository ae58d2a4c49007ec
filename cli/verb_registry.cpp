#include "cli/verb_registry.hpp"

#include <algorithm>
#include <array>

#include <unistd.h>

#include "base/helper.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "cli/helper_turn.hpp"
#include "cli/verbs_registry.hpp"
#include "engine/tenant_entry.hpp"
#include "engine/tenant_policy.hpp"
#include "images/platform.hpp"
#include "images/pull.hpp"

namespace vrun::cli {
namespace {

using images::ProgressStyle;
using images::TransferRequest;

Result<ProgressStyle> to_style(const Arguments& arguments) {
  if (arguments.on("quiet")) return ProgressStyle::kQuiet;
  constexpr std::array<std::string_view, 4> kNames{"auto", "plain", "json", "quiet"};
  const std::string word = arguments.text("progress");
  const auto found = std::find(kNames.begin(), kNames.end(), word);
  if (found != kNames.end()) return static_cast<ProgressStyle>(found - kNames.begin());
  return Error(Code::kInvalid,
               "--progress " + quote(word) + ": should be auto, plain, json or quiet");
}

// Puts a password from the command line where vrun-image reads passwords: on stdin.
Result<void> hand_over_password(const std::string& password) {
  std::array<int, 2> ends{};
  if (::pipe(ends.data()) != 0) return Error::system(errno, "pipe");
  const Fd reader(ends[0]);
  const Fd writer(ends[1]);
  constexpr std::size_t kMostPassword = 4096;  // less than a pipe holds
  if (password.size() > kMostPassword) {
    return Error(Code::kInvalid, "--password: longer than 4096 bytes").hint("use --password-stdin");
  }
  TRY(sys::write_all(writer.get(), password));
  if (::dup2(reader.get(), STDIN_FILENO) < 0) return Error::system(errno, "dup2");
  return {};
}

Result<void> read_login(const Arguments& arguments, TransferRequest& request) {
  request.registry = arguments.word(0);
  request.username = arguments.text("username");
  request.password_stdin = arguments.on("password-stdin");
  if (!arguments.has("password")) return {};
  if (request.password_stdin) {
    return Error(Code::kInvalid, "--password and --password-stdin exclude each other");
  }
  if (request.username.empty()) return Error(Code::kInvalid, "--password needs --username");
  request.password_stdin = true;
  return {};
}

}  // namespace

bool is_registry_verb(std::string_view verb) {
  return std::any_of(kRegistryVerbs.begin(), kRegistryVerbs.end(),
                     [&](const EverydayVerb& row) { return row.name.view() == verb; });
}

Result<TransferRequest> to_transfer(std::string_view verb, const Arguments& arguments,
                                    const engine::Places& places) {
  TransferRequest request;
  request.data_dir = places.data;
  request.shipped_dir = places.images;
  if (verb == "login" || verb == "logout") {
    if (verb == "logout") {
      request.registry = arguments.word(0);
      return request;
    }
    TRY(read_login(arguments, request));
    return request;
  }
  for (std::size_t i = 0; i < arguments.words().size(); ++i)
    request.images.push_back(arguments.word(i));
  request.progress = TRY(to_style(arguments));
  if (verb == "pull") {
    request.platform = arguments.text("platform");
    if (!request.platform.empty()) TRY(images::parse_platform(request.platform));
  }
  return request;
}

Result<int> everyday_registry(std::string_view verb, const EverydayCall& call) {
  const auto during = [&](Error error) { return std::move(std::move(error).during(verb)); };
  Result<TransferRequest> request = to_transfer(verb, call.arguments, call.places);
  if (!request) return during(std::move(request).error());
  request->tenant = call.tenant;
  Result<void> allowed = engine::check_registries(call.places, call.tenant, request->images);
  if (!allowed) return during(std::move(allowed).error());
  if (verb == "pull") {
    Result<std::int64_t> limit = engine::image_limit(call.places, call.tenant, call.host);
    if (!limit) return during(std::move(limit).error());
    request->image_limit = *limit;
  }
  Result<std::string> helper = helper_path("vrun-image");
  if (!helper) return during(std::move(helper).error());
  if (verb == "login" && call.arguments.has("password")) {
    Result<void> handed = hand_over_password(call.arguments.text("password"));
    if (!handed) return during(std::move(handed).error());
  }
  return wait_for_helper(
      verb, [&] { return during(images::become_transfer(verb, *request, *helper, call.host)); });
}

}  // namespace vrun::cli
