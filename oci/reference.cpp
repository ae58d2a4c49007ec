// Names of images, by the grammar of Docker and the distribution specification:
//   name = [host[:port]/]component{/component}   component = lower-case letters and digits, with
//   "." "_" "__" or any number of "-" between; name[:tag][@digest]; at most 255 characters of name.

#include <algorithm>

#include "base/text.hpp"
#include "oci/image.hpp"

namespace vrun::oci {
namespace {

constexpr std::string_view kDockerHub = "docker.io";
constexpr std::string_view kOfficial = "library/";
constexpr std::size_t kMaxName = 255;
constexpr std::size_t kMaxTag = 128;

bool is_lower_alnum(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}
bool is_upper(char c) {
  return c >= 'A' && c <= 'Z';
}
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_alnum(char c) {
  return is_lower_alnum(c) || is_upper(c);
}
bool is_hex(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

bool is_separator(std::string_view text) {
  return text == "." || text == "_" || text == "__" ||
         std::all_of(text.begin(), text.end(), [](char c) { return c == '-'; });
}

bool is_path_component(std::string_view text) {
  if (text.empty() || !is_lower_alnum(text.front()) || !is_lower_alnum(text.back())) return false;
  std::size_t at = 0;
  while (at < text.size()) {
    std::size_t end = at;
    while (end < text.size() && !is_lower_alnum(text[end]))
      ++end;
    if (end > at && !is_separator(text.substr(at, end - at))) return false;
    at = end + 1;
  }
  return true;
}

bool is_path(std::string_view text) {
  const auto parts = split(text, '/');
  return std::all_of(parts.begin(), parts.end(), is_path_component);
}

bool is_host_label(std::string_view text) {
  return !text.empty() && is_alnum(text.front()) && is_alnum(text.back()) &&
         std::all_of(text.begin(), text.end(), [](char c) { return is_alnum(c) || c == '-'; });
}

bool is_port(std::string_view text) {
  const auto port = parse_u64(text);
  return port && *port <= 65535 && std::all_of(text.begin(), text.end(), is_digit);
}

bool is_domain(std::string_view text) {
  std::string_view host = text;
  if (const std::size_t bracket = text.rfind(']'); bracket != std::string_view::npos) {
    host = text.substr(0, bracket + 1);
    const std::string_view rest = text.substr(bracket + 1);
    const std::string_view address = host.substr(1, host.size() - 2);
    return host.front() == '[' && !address.empty() &&
           std::all_of(address.begin(), address.end(),
                       [](char c) { return is_hex(c) || c == ':'; }) &&
           (rest.empty() || (rest.front() == ':' && is_port(rest.substr(1))));
  }
  if (const std::size_t colon = text.find(':'); colon != std::string_view::npos) {
    if (!is_port(text.substr(colon + 1))) return false;
    host = text.substr(0, colon);
  }
  const auto labels = split(host, '.');
  return std::all_of(labels.begin(), labels.end(), is_host_label);
}

bool is_tag(std::string_view text) {
  return !text.empty() && text.size() <= kMaxTag && text.front() != '.' && text.front() != '-' &&
         std::all_of(text.begin(), text.end(),
                     [](char c) { return is_alnum(c) || c == '_' || c == '.' || c == '-'; });
}

// Is the part before the first slash a host, and not the first component of a path?
bool looks_like_domain(std::string_view first) {
  return first == "localhost" || first.find_first_of(".:") != std::string_view::npos ||
         std::any_of(first.begin(), first.end(), is_upper);
}

void split_domain(std::string_view name, Reference& out) {
  const std::size_t slash = name.find('/');
  out.domain = kDockerHub;
  out.path = name;
  if (slash != std::string_view::npos && looks_like_domain(name.substr(0, slash))) {
    out.domain = name.substr(0, slash);
    out.path = name.substr(slash + 1);
  }
  if (out.domain == "index.docker.io") out.domain = kDockerHub;
  if (out.domain == kDockerHub && out.path.find('/') == std::string::npos) {
    out.path.insert(0, kOfficial);
  }
}

Error refuse(std::string_view text, const std::string& why) {
  return Error(Code::kInvalid, "image name " + quote(text.substr(0, 300)) + ": " + why);
}

Result<void> check_name(std::string_view text, const Reference& reference) {
  const auto all_hex = [](char c) { return is_digit(c) || (c >= 'a' && c <= 'f'); };
  std::string_view familiar = reference.path;
  if (familiar.starts_with(kOfficial)) familiar.remove_prefix(kOfficial.size());
  if (reference.domain == kDockerHub && familiar.size() == 64 &&
      std::all_of(familiar.begin(), familiar.end(), all_hex)) {
    return refuse(text, "64 hexadecimal digits are an id, not a name");
  }
  if (!is_domain(reference.domain)) return refuse(text, "the part before the first / is no host");
  if (std::any_of(reference.path.begin(), reference.path.end(), is_upper)) {
    return refuse(text, "must be lower case");
  }
  if (!is_path(reference.path)) {
    return refuse(text, "is not of lower-case letters and digits with single . _ - / between");
  }
  if (reference.repository().size() > kMaxName) {
    return refuse(text, "is longer than 255 characters");
  }
  return {};
}

}  // namespace

Result<Reference> Reference::parse(std::string_view text) {
  if (text.empty()) return refuse(text, "is empty");
  Reference out;
  std::string_view name = text;
  if (const std::size_t at = name.find('@'); at != std::string_view::npos) {
    Result<Digest> digest = Digest::parse(name.substr(at + 1));
    if (!digest)
      return std::move(digest).error().during("image name " + quote(text.substr(0, 300)));
    out.digest = *std::move(digest);
    name = name.substr(0, at);
  }
  // A colon after the last slash starts the tag; one before belongs to a port.
  const std::size_t slash = name.rfind('/');
  const std::size_t colon = name.find(':', slash == std::string_view::npos ? 0 : slash);
  if (colon != std::string_view::npos) {
    out.tag = name.substr(colon + 1);
    name = name.substr(0, colon);
    if (!is_tag(out.tag)) return refuse(text, "the tag after : is not of letters, digits, . _ -");
  }
  split_domain(name, out);
  TRY(check_name(text, out));
  if (out.tag.empty() && !out.digest) out.tag = "latest";
  return out;
}

std::string Reference::str() const {
  std::string text = repository();
  if (!tag.empty()) text += ":" + tag;
  if (digest) text += "@" + digest->str();
  return text;
}

std::string Reference::familiar() const {
  std::string_view name = path;
  if (name.starts_with(kOfficial) && name.find('/', kOfficial.size()) == std::string_view::npos) {
    name.remove_prefix(kOfficial.size());
  }
  // docker.io/quay.io/x is not quay.io/x.
  const std::size_t slash = name.find('/');
  const bool is_clear =
      slash == std::string_view::npos || !looks_like_domain(name.substr(0, slash));
  std::string text = domain == kDockerHub && is_clear ? std::string(name) : repository();
  if (!tag.empty()) text += ":" + tag;
  if (digest) text += "@" + digest->str();
  return text;
}

}  // namespace vrun::oci
