// process.capabilities: five sets of names to five sets of bits.
//
// A name that no kernel has is a fault. A capability that this kernel lacks, or that the caller
// does not have itself, cannot be given by anyone: it is left out with a warning, because engines
// ask for every capability they know when a guest is privileged. A config without the object gives
// no capability at all.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/faults.hpp"
#include "base/host.hpp"
#include "oci/spec.hpp"
#include "steps/ops.hpp"

namespace vrun::process {

// What can be given: bits, and the highest capability of the kernel (capabilities(7)).
struct Grantable {
  std::uint64_t caps = 0;
  std::uint32_t last = 0;
};
// In a new or joined user namespace all of them, else what host.proc/self/status says of the
// caller.
Result<Grantable> read_grantable(const Host& host, bool in_user_namespace);

// The sets are needed twice, the warnings once.
enum class Warnings { kSay, kSaid };
steps::CapabilitiesArgs check_capabilities(const oci::Process& process, const Grantable& grantable,
                                           std::string_view where, Warnings warnings,
                                           Faults& faults);

// "CAP_CHOWN" for 0; empty for a number without a name.
std::string_view capability_name(std::uint32_t number);

}  // namespace vrun::process
