#include "images/transfer/endpoint.hpp"

#include <algorithm>
#include <memory>

#include <curl/curl.h>

#include "base/fs.hpp"
#include "base/text.hpp"

namespace vrun::images {
namespace {

constexpr std::size_t kCaBytes = 4U << 20U;

std::string without_port(std::string_view host) {
  if (host.starts_with('[')) return std::string(host.substr(0, host.find(']') + 1));
  return std::string(host.substr(0, host.find(':')));
}

// Names of hosts have no case (RFC 3986, section 6.2.2.1); image names keep theirs.
std::string lower(std::string_view host) {
  std::string out(host);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

// Docker's registry answers under another name than its images have.
std::string api_host(std::string_view domain) {
  return domain == "docker.io" ? "registry-1.docker.io" : lower(domain);
}

Result<void> add_rule(Network& network, const RegistryRule& rule) {
  const std::string host = api_host(rule.host);
  Trust trust;
  trust.check_certificate = !rule.insecure;
  if (rule.insecure) network.insecure.push_back(host);
  if (!rule.ca_file.empty()) {
    Result<std::string> pem = fs::read_file(At::cwd(), rule.ca_file, kCaBytes);
    if (!pem) return std::move(pem).error().during("ca of registry " + rule.host);
    trust.ca_pem = *std::move(pem);
  }
  network.trusts.emplace(host, std::move(trust));
  return {};
}

Endpoint endpoint_of(const std::string& name, const Registries& registries) {
  Endpoint endpoint;
  endpoint.name = name;
  const std::size_t slash = name.find('/');
  const std::string domain = name.substr(0, slash);
  endpoint.host = api_host(domain);
  if (slash != std::string::npos) endpoint.prefix = name.substr(slash + 1) + "/";
  const RegistryRule* rule = registries.find(domain);
  endpoint.insecure = rule != nullptr && rule->insecure;
  return endpoint;
}

std::string part_of(CURLU* url, CURLUPart part) {
  char* text = nullptr;
  if (curl_url_get(url, part, &text, 0) != CURLUE_OK) return "";
  std::string out(text);
  curl_free(text);
  return out;
}

}  // namespace

bool Endpoint::may_be_plain() const {
  return insecure || is_loopback(host);
}

Trust Network::trust_of(const std::string& host) const {
  const auto found = trusts.find(host);
  return found == trusts.end() ? Trust() : found->second;
}

bool Network::is_insecure(std::string_view host) const {
  return std::find(insecure.begin(), insecure.end(), host) != insecure.end();
}

Result<Network> plan_network(
    const Registries& registries, const oci::Reference& image,
    const std::function<Result<Credentials>(const oci::Reference&)>& find) {
  Network network;
  network.timeouts = registries.timeouts;
  for (const RegistryRule& rule : registries.rules)
    TRY(add_rule(network, rule));
  std::vector<std::string> names;
  if (const RegistryRule* rule = registries.find(image.domain)) names = rule->mirrors;
  names.push_back(image.domain);
  for (const std::string& name : names) {
    Endpoint endpoint = endpoint_of(name, registries);
    oci::Reference there = image;
    there.domain = name.substr(0, name.find('/'));
    there.path = endpoint.prefix + image.path;
    endpoint.credentials = TRY(find(there));
    network.endpoints.push_back(std::move(endpoint));
  }
  return network;
}

bool is_loopback(std::string_view host) {
  const std::string name = without_port(host);
  if (name == "localhost" || name == "[::1]") return true;
  // Digits and dots only: "127.evil.example" is a name.
  const bool numeric = name.find_first_not_of("0123456789.") == std::string::npos;
  return numeric && name.starts_with("127.") && std::count(name.begin(), name.end(), '.') == 3;
}

Result<Url> parse_url(const std::string& text, const std::string& base) {
  const auto refuse = [&](const std::string& why) {
    return Error(Code::kInvalid, "URL " + quote(text.substr(0, 300)) + ": " + why);
  };
  const std::unique_ptr<CURLU, void (*)(CURLU*)> url(curl_url(), &curl_url_cleanup);
  if (!base.empty() && curl_url_set(url.get(), CURLUPART_URL, base.c_str(), 0) != CURLUE_OK) {
    return refuse("no base");
  }
  if (curl_url_set(url.get(), CURLUPART_URL, text.c_str(), 0) != CURLUE_OK) {
    return refuse("is not a URL");
  }
  Url out;
  out.scheme = part_of(url.get(), CURLUPART_SCHEME);
  if (out.scheme != "http" && out.scheme != "https") return refuse("is not of http or https");
  if (!part_of(url.get(), CURLUPART_USER).empty()) return refuse("has a user name in it");
  out.host = lower(part_of(url.get(), CURLUPART_HOST));
  const std::string port = part_of(url.get(), CURLUPART_PORT);
  const bool usual = port.empty() || port == (out.scheme == "https" ? "443" : "80");
  if (!usual) out.host += ":" + port;
  out.text = part_of(url.get(), CURLUPART_URL);
  return out;
}

std::optional<ContentRange> parse_content_range(std::string_view header) {
  constexpr std::string_view kUnit = "bytes ";
  if (!header.starts_with(kUnit)) return std::nullopt;
  header.remove_prefix(kUnit.size());
  const std::size_t dash = header.find('-');
  const std::size_t slash = header.find('/');
  if (dash == std::string_view::npos || slash == std::string_view::npos || slash < dash) {
    return std::nullopt;
  }
  const auto first = parse_u64(header.substr(0, dash));
  const auto last = parse_u64(header.substr(dash + 1, slash - dash - 1));
  const std::string_view rest = header.substr(slash + 1);
  const auto total = parse_u64(rest);
  if (!first || !last || *last < *first || (!total && rest != "*")) return std::nullopt;
  return ContentRange{*first, *last, total};
}

}  // namespace vrun::images
