// Where users keep their passwords for registries: the files of Docker and of Podman, and the
// credential helpers that these files name.
//
// Read in this order: $REGISTRY_AUTH_FILE alone if it is set; else
// ${XDG_RUNTIME_DIR}/containers/auth.json (without XDG_RUNTIME_DIR: /run/containers/UID/auth.json),
// then ${DOCKER_CONFIG:-~/.docker}/config.json. In a file credHelpers win over credsStore, and that
// over auths. Runs with the caller's own rights: never in the process that talks to the network.
#pragma once

#include <string>
#include <vector>

#include "base/host.hpp"
#include "base/result.hpp"
#include "images/transfer/auth.hpp"
#include "oci/image.hpp"

namespace vrun::images {

// What one file says of one registry. Pure.
struct AuthEntry {
  std::string helper;  // "pass": docker-credential-pass knows; else:
  Credentials credentials;
};
// `domain` and `path` as in oci::Reference. Keys may be hosts, URLs (Docker) or host/path prefixes
// (Podman; the longest wins).
Result<AuthEntry> find_auth(std::string_view json, std::string_view name, std::string_view domain,
                            std::string_view path);
// The file with an entry for `domain` (replaced, or removed without `credentials`), everything else
// as it was. `json` may be empty: a new file.
Result<std::string> with_auth(std::string_view json, std::string_view name, std::string_view domain,
                              const Credentials* credentials);

class AuthFiles {
 public:
  static AuthFiles of(const Host& host);

  // Empty credentials when nobody knows any.
  Result<Credentials> find(const oci::Reference& image) const;
  // Keeps what `login` checked, in the helper that is configured, else in Docker's file (or
  // $REGISTRY_AUTH_FILE); answers where, in words.
  Result<std::string> keep(const std::string& domain, const Credentials& credentials) const;
  // Answers from where they were removed; empty when they were nowhere.
  Result<std::vector<std::string>> forget(const std::string& domain) const;

 private:
  std::vector<std::string> paths_;
  std::string writable_;
  std::vector<std::string> env_;
};

}  // namespace vrun::images
