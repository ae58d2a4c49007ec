// process.apparmorProfile and process.selinuxLabel: the label that exec switches to.
//
// A label that the host's kernel cannot enforce is a fault: a guest that asked for confinement
// never runs without it. Only AppArmor's "unconfined" is accepted anywhere, since it asks for none.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/faults.hpp"
#include "base/host.hpp"
#include "oci/spec.hpp"
#include "steps/ops.hpp"

namespace vrun::process {

// Which of the two security modules this kernel enforces.
struct SecurityModules {
  bool apparmor = false;
  bool selinux = false;
};
SecurityModules read_security_modules(const Host& host, const std::string& sys = "/sys");

struct ExecLabel {
  steps::LabelKind kind;
  std::string text;  // what is written to the attribute
  std::string key;   // "apparmorProfile"
};
std::vector<ExecLabel> check_labels(const oci::Process& process, const SecurityModules& modules,
                                    std::string_view where, Faults& faults);

}  // namespace vrun::process
