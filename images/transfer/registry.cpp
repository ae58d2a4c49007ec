#include "images/transfer/registry.hpp"

#include <algorithm>
#include <thread>

#include "base/json.hpp"
#include "base/log.hpp"
#include "base/text.hpp"

namespace vrun::images {
namespace {

using std::chrono::milliseconds;

constexpr int kMostRedirects = 5;
constexpr int kAttemptsToConnect = 3;

bool is_redirect(long status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

// 0.2 s, 0.4 s, 0.8 s ... with up to a fifth more, so that many clients do not come back together.
milliseconds back_off(int attempt) {
  constexpr long kFirst = 200;
  constexpr long kMost = 5000;
  const long base = std::min(kFirst << std::min(attempt, 8), kMost);
  const auto now = std::chrono::steady_clock::now().time_since_epoch().count();
  return milliseconds(base + static_cast<long>(now) % (base / 5));
}

milliseconds retry_after(const HttpHead& head) {
  constexpr std::uint64_t kMostSeconds = 60;
  const auto seconds = parse_u64(head.header("retry-after"));
  return seconds ? milliseconds(1000 * std::min(*seconds, kMostSeconds)) : milliseconds(0);
}

bool is_transient(long status) {
  return status == 408 || status == 429 || status == 500 || status == 502 || status == 503 ||
         status == 504;
}

Error denied(const Endpoint& endpoint, long status, const std::string& words) {
  Error error(Code::kDenied, "access denied (HTTP " + std::to_string(status) + ")" + words);
  const Credentials& known = endpoint.credentials;
  if (known.empty()) {
    return std::move(error).hint("log in with `vrun login " + endpoint.name +
                                 "`, or check the name: private and missing images look the same");
  }
  const std::string who = known.user.empty() ? "the stored token" : "user " + quote(known.user);
  return std::move(error).hint("sent as " + who + ": log in again with `vrun login " +
                               endpoint.name + "`, or ask for access");
}

Error connection_error(const Endpoint& endpoint, HttpAnswer& answer) {
  Error error = std::move(*answer.error);
  switch (answer.trouble) {
    case HttpTrouble::kUntrusted:
      return std::move(error).hint(
          "if its certificate is of your own authority, name that as `ca` of " + endpoint.name +
          " in /etc/vrun/registries.yaml");
    case HttpTrouble::kNotTls:
      return std::move(error).hint("it speaks plain HTTP; `insecure: true` for " + endpoint.name +
                                   " in /etc/vrun/registries.yaml allows that");
    case HttpTrouble::kConnect:
      return std::move(error)
          .with_code(Code::kSystem)
          .hint("check the name, the network and the proxy variables");
    default:
      return error;
  }
}

std::string form(std::initializer_list<std::pair<std::string_view, std::string_view>> fields) {
  std::string text;
  for (const auto& [name, value] : fields) {
    if (value.empty()) continue;
    if (!text.empty()) text += '&';
    text += std::string(name) + "=" + url_encode(value);
  }
  return text;
}

}  // namespace

std::string Learned::authorization(const std::string& key) const {
  const std::lock_guard lock(mutex_);
  const auto found = authorizations_.find(key);
  return found == authorizations_.end() ? "" : found->second;
}

void Learned::keep_authorization(const std::string& key, const std::string& header) {
  const std::lock_guard lock(mutex_);
  authorizations_[key] = header;
}

std::string Learned::scheme(const std::string& host) const {
  const std::lock_guard lock(mutex_);
  const auto found = schemes_.find(host);
  return found == schemes_.end() ? "https" : found->second;
}

void Learned::keep_scheme(const std::string& host, const std::string& scheme) {
  const std::lock_guard lock(mutex_);
  schemes_[host] = scheme;
}

std::string registry_words(std::string_view body) {
  const Result<json::Document> document = json::Document::parse(body, "answer");
  if (!document) return "";
  const json::Value* errors = document->root().find("errors");
  if (errors == nullptr || errors->kind() != json::Kind::kArray) return "";
  for (const json::Value& error : errors->elements()) {
    const json::Value* message = error.find("message");
    if (message == nullptr || message->kind() != json::Kind::kString) continue;
    return printable(message->as_text().substr(0, 300));
  }
  return "";
}

HttpRequest Registry::request_of(const Url& url, const Call& call) const {
  HttpRequest request;
  request.method = call.method;
  request.url = url.text;
  request.headers = call.headers;
  request.trust = network_.trust_of(url.host);
  // Through a proxy "this very machine" would be another one.
  request.direct = is_loopback(url.host);
  request.body = call.body;
  request.body_limit = call.body_limit;
  request.connect_timeout = network_.timeouts.connect;
  request.stall_timeout = network_.timeouts.stall;
  request.deadline = deadline_;
  if (!call.give) return request;
  request.upload_bytes = call.give_bytes;
  request.upload = [&call, sent = std::uint64_t{0}](std::span<char> buffer) mutable {
    const std::uint64_t left = call.give_bytes - sent;
    if (buffer.size() > left) buffer = buffer.first(left);
    if (buffer.empty()) return Result<std::size_t>(std::size_t{0});
    Result<std::size_t> n = call.give(call.give_offset + sent, buffer);
    if (n) sent += *n;
    return n;
  };
  return request;
}

Result<void> Registry::check_target(const Endpoint& endpoint, const Url& url) const {
  if (url.scheme == "https") return {};
  const bool allowed = url.host == endpoint.host
                           ? endpoint.may_be_plain()
                           : network_.is_insecure(url.host) || endpoint.insecure ||
                                 (endpoint.may_be_plain() && is_loopback(url.host));
  if (allowed) return {};
  return Error(Code::kDenied, "is sent on to " + quote(url.host) + " over plain HTTP")
      .hint("`insecure: true` for " + printable(url.host) +
            " in /etc/vrun/registries.yaml allows that");
}

Registry::Outcome Registry::follow(const Endpoint& endpoint, const Call& call, const HttpSink& sink,
                                   const std::string& authorization, const std::string& scheme) {
  const std::string base = scheme + "://" + endpoint.host;
  Result<Url> home = parse_url(base);
  Result<Url> url = parse_url(call.path, base);
  for (int hop = 0; home && url && hop <= kMostRedirects; ++hop) {
    Outcome out;
    if (Result<void> allowed = check_target(endpoint, *url); !allowed) {
      out.error = std::move(allowed).error();
      return out;
    }
    HttpRequest request = request_of(*url, call);
    // The one place where credentials leave: to the registry itself, never to where it sends us.
    if (!authorization.empty() && url->is_same_origin(*home)) {
      request.headers.push_back("Authorization: " + authorization);
    }
    HttpAnswer answer = client_.perform(request, sink);
    const std::string location(answer.head.header("location"));
    const bool go_on = answer.trouble == HttpTrouble::kNone && is_redirect(answer.head.status) &&
                       !location.empty() && (call.method == "GET" || call.method == "HEAD");
    if (!go_on) return judge(endpoint, std::move(answer), url->text);
    url = parse_url(location, url->text);
  }
  Outcome out;
  out.error = !home  ? std::move(home).error()
              : !url ? std::move(url).error()
                     : Error(Code::kInvalid, "more than 5 redirects");
  return out;
}

Registry::Outcome Registry::judge(const Endpoint& endpoint, HttpAnswer answer,
                                  const std::string& url) const {
  Outcome out;
  out.url = url;
  const long status = answer.head.status;
  if (answer.trouble != HttpTrouble::kNone) {
    out.transient = answer.trouble == HttpTrouble::kConnect ||
                    answer.trouble == HttpTrouble::kBroken ||
                    answer.trouble == HttpTrouble::kStalled;
    if (answer.trouble == HttpTrouble::kConnect) out.attempts = kAttemptsToConnect;
    out.error = connection_error(endpoint, answer);
  } else if (status < 200 || status >= 300) {
    std::string words = registry_words(answer.body);
    if (!words.empty()) words = ": " + words;
    out.transient = is_transient(status);
    out.pause = retry_after(answer.head);
    const std::string number = "HTTP " + std::to_string(status);
    if (status == 401 || status == 403) {
      out.error = denied(endpoint, status, words);
    } else if (status == 404) {
      out.error = Error(Code::kNotFound, "not found (" + number + ")" + words);
    } else if (status == 429) {
      out.error = Error(Code::kSystem, "too many requests (" + number + ")" + words)
                      .hint("wait a while, or log in for a higher limit");
    } else {
      out.error = Error(Code::kSystem, "answered " + number + words);
    }
  }
  out.answer = std::move(answer);
  return out;
}

Registry::Outcome Registry::exchange(const Endpoint& endpoint, const Call& call,
                                     const HttpSink& sink, const std::string& authorization) {
  const std::string scheme = learned_.scheme(endpoint.host);
  Outcome out = follow(endpoint, call, sink, authorization, scheme);
  const bool plain_may_do =
      scheme == "https" && endpoint.may_be_plain() &&
      (out.answer.trouble == HttpTrouble::kNotTls || out.answer.trouble == HttpTrouble::kConnect);
  if (!plain_may_do) return out;
  const std::string shown = endpoint.may_show_credentials("http") ? authorization : "";
  Outcome plain = follow(endpoint, call, sink, shown, "http");
  if (plain.answer.trouble == HttpTrouble::kConnect) return out;
  learned_.keep_scheme(endpoint.host, "http");
  return plain;
}

Registry::Outcome Registry::attempt(const Endpoint& endpoint, const Call& call,
                                    const HttpSink& sink) {
  const std::string key = endpoint.host + " " + call.scope;
  Outcome out = exchange(endpoint, call, sink, learned_.authorization(key));
  if (out.answer.head.status != 401 || out.answer.trouble != HttpTrouble::kNone) return out;
  Result<std::string> authorization = authorize(endpoint, out.answer.head, call.scope);
  if (!authorization) {
    // An answer of 401 that says nothing of use stays what it is.
    if (authorization.error().code() == Code::kUnsupported) return out;
    out.error = std::move(authorization).error();
    out.transient = false;
    return out;
  }
  learned_.keep_authorization(key, *authorization);
  return exchange(endpoint, call, sink, *authorization);
}

Result<HttpAnswer> Registry::repeat(const Endpoint& endpoint, const Call& call, std::string* url) {
  for (int i = 1;; ++i) {
    Outcome out = attempt(endpoint, call, nullptr);
    if (!out.error) {
      if (url != nullptr) *url = out.url;
      return std::move(out.answer);
    }
    if (!out.transient || i >= out.attempts || std::chrono::steady_clock::now() > deadline_) {
      return std::move(*out.error).during("registry " + endpoint.name);
    }
    std::this_thread::sleep_for(std::max(out.pause, back_off(i - 1)));
  }
}

Result<std::string> Registry::authorize(const Endpoint& endpoint, const HttpHead& head,
                                        const std::string& scope) {
  const std::vector<Challenge> challenges = parse_challenges(head.header("www-authenticate"));
  const Credentials& mine = endpoint.credentials;
  const std::string scheme = learned_.scheme(endpoint.host);
  if (!mine.empty() && !endpoint.may_show_credentials(scheme)) {
    return Error(Code::kDenied, "wants a password, but speaks plain HTTP")
        .hint("give it TLS, or say `insecure: true` for " + endpoint.name +
              " in /etc/vrun/registries.yaml");
  }
  for (const Challenge& challenge : challenges) {
    if (challenge.scheme == "bearer") return fetch_token(endpoint, challenge, scope);
    if (challenge.scheme == "basic" && !mine.password.empty()) return basic_authorization(mine);
  }
  return Error(Code::kUnsupported, "no challenge that can be answered");
}

Result<std::string> Registry::fetch_token(const Endpoint& endpoint, const Challenge& challenge,
                                          const std::string& scope) {
  const auto param = [&](const std::string& name) {
    const auto found = challenge.params.find(name);
    return found == challenge.params.end() ? std::string() : found->second;
  };
  const Url realm = TRY(parse_url(param("realm")));
  const Credentials& mine = endpoint.credentials;
  const bool plain = realm.scheme != "https";
  const bool may_be_plain = endpoint.insecure || network_.is_insecure(realm.host) ||
                            (mine.empty() && endpoint.may_be_plain() && is_loopback(realm.host));
  if (plain && !may_be_plain) {
    return Error(Code::kDenied, "its token service " + quote(realm.host) + " speaks plain HTTP")
        .hint("`insecure: true` for " + printable(realm.host) +
              " in /etc/vrun/registries.yaml allows that");
  }
  Call call;
  call.path = realm.text;
  const std::string service = param("service");
  const std::string wanted = scope.empty() ? param("scope") : scope;
  HttpRequest request = request_of(realm, call);
  if (!mine.identity_token.empty()) {
    request.method = "POST";
    request.headers.push_back("Content-Type: application/x-www-form-urlencoded");
    request.body = form({{"grant_type", "refresh_token"},
                         {"service", service},
                         {"client_id", "vrun"},
                         {"scope", wanted},
                         {"refresh_token", mine.identity_token}});
  } else {
    std::string query = form({{"service", service}, {"account", mine.user}});
    for (const std::string_view one : split(wanted, ' '))
      query += (query.empty() ? "" : "&") + form({{"scope", one}});
    request.url += (request.url.find('?') == std::string::npos ? "?" : "&") + query;
    if (!mine.password.empty()) {
      request.headers.push_back("Authorization: " + basic_authorization(mine));
    }
  }
  Outcome out = judge(endpoint, client_.perform(request), realm.text);
  if (out.error) return std::move(*out.error).during("token service " + printable(realm.host));
  const std::string token =
      TRY(parse_token(out.answer.body, "token service " + printable(realm.host)));
  return "Bearer " + token;
}

Result<void> Registry::ping() {
  Call call;
  call.path = "/v2/";
  deadline_ = std::chrono::steady_clock::now() + std::chrono::minutes(2);
  TRY(repeat(network_.origin(), call));
  return {};
}

}  // namespace vrun::images
