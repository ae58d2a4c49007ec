// Where the bytes of one image may be asked for, and what may be shown to whom on the way.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/host.hpp"
#include "base/result.hpp"
#include "images/transfer/auth.hpp"
#include "images/transfer/http.hpp"
#include "images/transfer/registries.hpp"
#include "oci/image.hpp"

namespace vrun::images {

struct Endpoint {
  std::string name;    // as users know it: "docker.io", "mirror.example.org:5000/hub"
  std::string host;    // host[:port] of URLs
  std::string prefix;  // of repositories at a mirror: "hub/", else empty
  bool insecure = false;
  Credentials credentials;

  // Without TLS, if the server has none: insecure registries, and this very machine.
  bool may_be_plain() const;
  // Passwords and tokens made of them over this scheme?
  bool may_show_credentials(std::string_view scheme) const { return scheme == "https" || insecure; }
};

// Everything the network process needs to know, read by its parent: it opens no file of ours.
struct Network {
  std::vector<Endpoint> endpoints;      // mirrors first, the registry itself last
  std::map<std::string, Trust> trusts;  // by host[:port] of URLs
  std::vector<std::string> insecure;    // hosts
  Timeouts timeouts;

  const Endpoint& origin() const { return endpoints.back(); }
  Trust trust_of(const std::string& host) const;
  bool is_insecure(std::string_view host) const;
};

// `find` looks up credentials for a registry; it is asked for each endpoint.
Result<Network> plan_network(const Registries& registries, const oci::Reference& image,
                             const std::function<Result<Credentials>(const oci::Reference&)>& find);

bool is_loopback(std::string_view host);  // host[:port]: localhost, 127.0.0.0/8, [::1]

struct Url {
  std::string scheme, host;  // host[:port], without the scheme's usual port
  std::string text;          // the whole
  bool operator==(const Url&) const = default;
  bool is_same_origin(const Url& other) const {
    return scheme == other.scheme && host == other.host;
  }
};
// http and https only, without user names in it; `base`: what a relative text starts from.
Result<Url> parse_url(const std::string& text, const std::string& base = "");

// "bytes 5-9/10", as a server answers a range request.
struct ContentRange {
  std::uint64_t first = 0, last = 0;
  std::optional<std::uint64_t> total;  // "*": not known
  bool operator==(const ContentRange&) const = default;
};
std::optional<ContentRange> parse_content_range(std::string_view header);

}  // namespace vrun::images
