// The inside half: joins, deferred namespaces, names.
#pragma once

#include "steps/child.hpp"

namespace vrun::namespaces {

long join_namespace(steps::Context& context, const steps::JoinNamespaceArgs& args);
long unshare(steps::Context& context, const steps::UnshareArgs& args);
// Answers 0 in the new process only; the old one has handed over its pidfd and ended.
long respawn(steps::Context& context, const steps::RespawnArgs& args);
long become_root(steps::Context& context);
long set_hostname(steps::Context& context, const steps::TextArgs& args);
long set_domainname(steps::Context& context, const steps::TextArgs& args);
long new_session(steps::Context& context);
long join_session_keyring(steps::Context& context, const steps::TextArgs& args);

}  // namespace vrun::namespaces
