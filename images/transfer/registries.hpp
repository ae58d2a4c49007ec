// /etc/vrun/registries.yaml: what the administrator says about registries.
//
//   timeouts: {connect: 10, stall: 30, overall: 3600}     # seconds
//   registries:
//     docker.io:
//       mirrors: [mirror.example.org:5000/hub]
//     registry.example.org:
//       ca: /etc/vrun/example-ca.pem
//     10.0.0.5:5000:
//       insecure: true
//
// Strict: an unknown key, a repeated one, a wrong type is an error with file, line and column; all
// faults are told at once. `ca`: the only certificate authorities trusted for that host.
// `insecure`: the certificate is not checked, and plain HTTP will do, with credentials too. A
// mirror is asked before the registry; what holds for it stands under its own name.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "base/host.hpp"
#include "base/result.hpp"

namespace vrun::images {

struct RegistryRule {
  std::string host;  // as in image names: "docker.io", "localhost:5000"
  std::vector<std::string> mirrors;
  std::string ca_file;
  bool insecure = false;
  bool operator==(const RegistryRule&) const = default;
};

struct Timeouts {
  std::chrono::seconds connect{10};
  std::chrono::seconds stall{30};      // no byte for so long: begin again
  std::chrono::seconds overall{3600};  // for one blob, all attempts together
  bool operator==(const Timeouts&) const = default;
};

struct Registries {
  std::vector<RegistryRule> rules;
  Timeouts timeouts;

  static Result<Registries> parse(const std::string& text, const std::string& name);
  // $VRUN_REGISTRIES, else for a user who is not root ~/.config/vrun/registries.yaml if it is
  // there, else /etc/vrun/registries.yaml. An absent file has no rules.
  static Result<Registries> load(const Host& host);

  // The rule of a host as it stands in image names or URLs; nullptr when there is none.
  const RegistryRule* find(std::string_view host) const;
};

}  // namespace vrun::images
