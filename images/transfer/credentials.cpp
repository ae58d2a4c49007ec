#include "images/transfer/credentials.hpp"

#include <algorithm>
#include <optional>

#include "base/fs.hpp"
#include "base/json.hpp"
#include "base/json_writer.hpp"
#include "base/spawn.hpp"
#include "base/text.hpp"

namespace vrun::images {
namespace {

constexpr std::size_t kFileBytes = 4U << 20U;
constexpr std::string_view kDockerDomain = "docker.io";
constexpr std::string_view kDockerKey = "https://index.docker.io/v1/";  // as `docker login` writes
constexpr std::string_view kTokenUser = "<token>";  // of credential helpers: a refresh token

// "https://host:5000/v1/" is host:5000.
std::string_view host_of(std::string_view key) {
  if (const std::size_t scheme = key.find("://"); scheme != std::string_view::npos) {
    key.remove_prefix(scheme + 3);
    return key.substr(0, key.find('/'));
  }
  return key.ends_with('/') ? key.substr(0, key.size() - 1) : key;
}

bool names_domain(std::string_view key, std::string_view domain) {
  const std::string_view host = host_of(key);
  if (host == domain) return true;
  return domain == kDockerDomain && (host == "index.docker.io" || host == "registry-1.docker.io");
}

std::string text_of(const json::Value* value) {
  if (value == nullptr || value->kind() != json::Kind::kString) return "";
  return std::string(value->as_text());
}

// Of an object; nothing of anything else.
std::span<const json::Member> members_of(const json::Value* value) {
  if (value == nullptr || value->kind() != json::Kind::kObject) return {};
  return value->members();
}

// How specific an entry of "auths" is for this image: empty when it is for another one.
std::optional<std::size_t> match(std::string_view key, std::string_view domain,
                                 std::string_view path) {
  if (names_domain(key, domain)) return 0;
  const std::string whole = std::string(domain) + "/" + std::string(path);
  const bool prefix = whole == key || (whole.starts_with(key) && whole[key.size()] == '/');
  if (prefix && key.size() > domain.size()) return key.size();
  return std::nullopt;
}

Result<Credentials> read_entry(const json::Value& entry, std::string_view name,
                               std::string_view key) {
  Credentials out;
  out.user = text_of(entry.find("username"));
  out.password = text_of(entry.find("password"));
  out.identity_token = text_of(entry.find("identitytoken"));
  const std::string encoded = text_of(entry.find("auth"));
  if (encoded.empty()) return out;
  const Result<std::string> pair = from_base64(encoded);
  const std::size_t colon = pair ? pair->find(':') : std::string::npos;
  if (colon == std::string::npos) {
    return Error(Code::kInvalid, std::string(name) + ": auths." + printable(key) +
                                     ".auth is not base64 of user:password")
        .hint("log in again: vrun login " + printable(host_of(key)));
  }
  out.user = pair->substr(0, colon);
  out.password = pair->substr(colon + 1);
  // Docker pads with NUL bytes when it reads its own files.
  while (out.password.ends_with('\0'))
    out.password.pop_back();
  return out;
}

std::string find_helper(const json::Value& root, std::string_view domain) {
  for (const json::Member& member : members_of(root.find("credHelpers"))) {
    if (names_domain(member.key.as_text(), domain)) return text_of(&member.value);
  }
  return text_of(root.find("credsStore"));
}

// What helpers call a registry.
std::string server_name(std::string_view domain) {
  return std::string(domain == kDockerDomain ? kDockerKey : domain);
}

Result<std::string> run_helper(const std::string& helper, const std::string& verb,
                               const std::string& input, const std::vector<std::string>& env) {
  const bool plain = !helper.empty() && std::all_of(helper.begin(), helper.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
  });
  if (!plain) return Error(Code::kInvalid, "credential helper " + quote(helper) + ": no such name");
  Command command;
  command.path = "docker-credential-" + helper;
  command.argv = {command.path, verb};
  command.env = env;
  command.input = input;
  command.timeout = std::chrono::seconds(60);
  Result<Finished> finished = run(command);
  if (!finished) {
    return std::move(finished)
        .error()
        .during("credential helper " + quote(helper))
        .with_code(Code::kSystem)  // a helper that is not there knows no less than one that fails
        .hint("install " + command.path + ", or take the helper out of the auth file");
  }
  if (finished->exit.code() == 0) return std::move(finished->output);
  const std::string words = printable(trim(finished->output)).substr(0, 200);
  // The words that every helper uses for this (docker-credential-helpers, errors.go).
  const Code code =
      words.find("credentials not found") != std::string::npos ? Code::kNotFound : Code::kSystem;
  return Error(code, "credential helper " + quote(helper) + " " + verb + ": " + words);
}

Result<Credentials> ask_helper(const std::string& helper, std::string_view domain,
                               const std::vector<std::string>& env) {
  Result<std::string> answer = run_helper(helper, "get", server_name(domain) + "\n", env);
  if (!answer) {
    if (answer.error().code() == Code::kNotFound) return Credentials();
    return std::move(answer).error();
  }
  // What the helper writes to stderr arrives on the same pipe: take the object.
  const std::size_t start = answer->find('{');
  const std::size_t end = answer->rfind('}');
  if (start == std::string::npos || end == std::string::npos || end < start) {
    return Error(Code::kInvalid, "credential helper " + quote(helper) + ": answer is not JSON");
  }
  const json::Document document = TRY(json::Document::parse(
      std::string_view(*answer).substr(start, end - start + 1), "credential helper " + helper));
  Credentials out;
  out.user = text_of(document.root().find("Username"));
  out.password = text_of(document.root().find("Secret"));
  if (out.user == kTokenUser) {
    out.identity_token = std::move(out.password);
    out.user.clear();
    out.password.clear();
  }
  return out;
}

void copy(json::Writer& w, const json::Value& value) {
  switch (value.kind()) {
    case json::Kind::kNull:
      w.null();
      return;
    case json::Kind::kBool:
      w.value(value.as_bool());
      return;
    case json::Kind::kUnsigned:
      w.value(value.as_unsigned());
      return;
    case json::Kind::kNegative:
      w.value(value.as_negative());
      return;
    case json::Kind::kReal:
      w.value(value.as_real());
      return;
    case json::Kind::kString:
      w.value(value.as_text());
      return;
    case json::Kind::kArray:
      w.begin_array();
      for (const json::Value& element : value.elements())
        copy(w, element);
      w.end_array();
      return;
    case json::Kind::kObject:
      w.begin_object();
      for (const json::Member& member : value.members()) {
        w.key(member.key.as_text());
        copy(w, member.value);
      }
      w.end_object();
  }
}

// The object "auths" with the entry of `domain` replaced or removed.
void write_auths(json::Writer& w, const json::Value* auths, std::string_view domain,
                 const Credentials* credentials) {
  w.key("auths").begin_object();
  for (const json::Member& member : members_of(auths)) {
    if (names_domain(member.key.as_text(), domain)) continue;
    w.key(member.key.as_text());
    copy(w, member.value);
  }
  if (credentials != nullptr) {
    w.key(server_name(domain)).begin_object();
    if (credentials->identity_token.empty()) {
      w.member("auth", base64(credentials->user + ":" + credentials->password));
    } else {
      w.member("auth", base64(credentials->user + ":"));
      w.member("identitytoken", credentials->identity_token);
    }
    w.end_object();
  }
  w.end_object();
}

// Absent is empty.
Result<std::string> read_optional(const std::string& path) {
  Result<std::string> text = fs::read_file(At::cwd(), path, kFileBytes, fs::Kind::kRegularOnly);
  if (text || text.error().code() != Code::kNotFound) return text;
  return std::string();
}

std::string helper_request(const std::string& domain, const Credentials& credentials) {
  const bool token = !credentials.identity_token.empty();
  json::Writer w;
  w.begin_object();
  w.member("ServerURL", server_name(domain));
  w.member("Username", token ? std::string(kTokenUser) : credentials.user);
  w.member("Secret", token ? credentials.identity_token : credentials.password);
  w.end_object();
  return w.take();
}

}  // namespace

Result<AuthEntry> find_auth(std::string_view text, std::string_view name, std::string_view domain,
                            std::string_view path) {
  const json::Document document = TRY(json::Document::parse(text, name));
  AuthEntry entry;
  entry.helper = find_helper(document.root(), domain);
  if (!entry.helper.empty()) return entry;
  std::optional<std::size_t> best;
  for (const json::Member& member : members_of(document.root().find("auths"))) {
    const auto how = match(member.key.as_text(), domain, path);
    if (!how || (best && *how <= *best)) continue;
    best = how;
    entry.credentials = TRY(read_entry(member.value, name, member.key.as_text()));
  }
  return entry;
}

Result<std::string> with_auth(std::string_view text, std::string_view name, std::string_view domain,
                              const Credentials* credentials) {
  const json::Document document =
      TRY(json::Document::parse(trim(text).empty() ? "{}" : text, name));
  if (document.root().kind() != json::Kind::kObject) {
    return Error(Code::kInvalid, std::string(name) + ": is not a JSON object");
  }
  const json::Value* auths = document.root().find("auths");
  if (auths != nullptr && !auths->is_null() && auths->kind() != json::Kind::kObject) {
    return Error(Code::kInvalid, std::string(name) + ": auths is not an object");
  }
  json::Writer w(json::Style::kTabs);
  w.begin_object();
  for (const json::Member& member : document.root().members()) {
    if (member.key.as_text() == "auths") continue;
    w.key(member.key.as_text());
    copy(w, member.value);
  }
  write_auths(w, auths, domain, credentials);
  w.end_object();
  return w.take() + "\n";
}

AuthFiles AuthFiles::of(const Host& host) {
  AuthFiles files;
  files.env_ = host.env;
  if (const std::string_view one = host.variable("REGISTRY_AUTH_FILE"); !one.empty()) {
    files.paths_ = {std::string(one)};
    files.writable_ = one;
    return files;
  }
  std::string runtime(host.variable("XDG_RUNTIME_DIR"));
  const std::string podman = runtime.empty() ? "/run/containers/" + std::to_string(host.euid.value)
                                             : fs::join(runtime, "containers");
  std::string docker(host.variable("DOCKER_CONFIG"));
  if (docker.empty()) docker = fs::join(host.variable("HOME"), ".docker");
  files.writable_ = fs::join(docker, "config.json");
  files.paths_ = {fs::join(podman, "auth.json"), files.writable_};
  return files;
}

Result<Credentials> AuthFiles::find(const oci::Reference& image) const {
  for (const std::string& path : paths_) {
    const std::string text = TRY(read_optional(path));
    if (trim(text).empty()) continue;
    const AuthEntry entry = TRY(find_auth(text, path, image.domain, image.path));
    Credentials found = entry.helper.empty() ? entry.credentials
                                             : TRY(ask_helper(entry.helper, image.domain, env_));
    if (!found.empty()) return found;
  }
  return Credentials();
}

Result<std::string> AuthFiles::keep(const std::string& domain,
                                    const Credentials& credentials) const {
  const std::string text = TRY(read_optional(writable_));
  const AuthEntry entry = TRY(find_auth(trim(text).empty() ? "{}" : text, writable_, domain, ""));
  if (!entry.helper.empty()) {
    TRY(run_helper(entry.helper, "store", helper_request(domain, credentials), env_));
    return "credential helper " + entry.helper;
  }
  const std::string changed = TRY(with_auth(text, writable_, domain, &credentials));
  const std::string dir(fs::dir_name(writable_));
  TRY(fs::make_dirs(At::cwd(), dir, 0700));
  const Fd open_dir = TRY(sys::open_dir(At::cwd(), dir));
  TRY(fs::replace_file(open_dir, std::string(fs::base_name(writable_)), changed, 0600));
  return writable_;
}

Result<std::vector<std::string>> AuthFiles::forget(const std::string& domain) const {
  std::vector<std::string> from;
  for (const std::string& path : paths_) {
    const std::string text = TRY(read_optional(path));
    if (trim(text).empty()) continue;
    const AuthEntry entry = TRY(find_auth(text, path, domain, ""));
    if (!entry.helper.empty()) {
      Result<std::string> erased =
          run_helper(entry.helper, "erase", server_name(domain) + "\n", env_);
      if (!erased && erased.error().code() != Code::kNotFound) return std::move(erased).error();
      if (erased) from.push_back("credential helper " + entry.helper);
      continue;
    }
    if (entry.credentials.empty()) continue;
    const std::string changed = TRY(with_auth(text, path, domain, nullptr));
    const Fd dir = TRY(sys::open_dir(At::cwd(), std::string(fs::dir_name(path))));
    TRY(fs::replace_file(dir, std::string(fs::base_name(path)), changed, 0600));
    from.push_back(path);
  }
  return from;
}

}  // namespace vrun::images
