// What a registry asks for before it answers, and what we show it: the texts of HTTP
// authentication (RFC 9110, section 11) and of the token service of distribution registries. Pure.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace vrun::images {

// One challenge of WWW-Authenticate: `Bearer realm="https://...",service="..."`.
struct Challenge {
  std::string scheme;                         // lower case
  std::map<std::string, std::string> params;  // keys in lower case
  bool operator==(const Challenge&) const = default;
};

// All challenges of one header value. What cannot be read ends the list: a registry that writes
// rubbish gets no credentials.
std::vector<Challenge> parse_challenges(std::string_view header);

// Who the user is at one registry. Both parts empty: nobody.
struct Credentials {
  std::string user, password;
  std::string identity_token;  // instead of a password: an OAuth refresh token
  bool empty() const { return user.empty() && password.empty() && identity_token.empty(); }
};

std::string base64(std::string_view bytes);
Result<std::string> from_base64(std::string_view text);  // padding may be missing

// "Basic dXNlcjpwYXNz"
std::string basic_authorization(const Credentials& credentials);

// Percent-encoding of everything but RFC 3986's unreserved characters.
std::string url_encode(std::string_view text);

// The token in a token service's answer (members "token" or "access_token").
Result<std::string> parse_token(std::string_view json, std::string_view name);

}  // namespace vrun::images
