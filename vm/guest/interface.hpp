// The guest's network interface.
#pragma once

#include "base/result.hpp"
#include "oci/spec.hpp"
#include "vm/guest/request.hpp"

namespace vrun::vm {

// Gives the interface of the wanted card its name, MTU, addresses and default routes, and brings it
// up. kNotFound when there is none.
Result<void> configure(const NetworkRequest& request);
// The same for a card that was plugged in a moment ago: waits some seconds until it is there.
Result<void> configure_new(const NetworkRequest& request);
// The default routes of an interface that is up, where another one had them.
Result<void> make_way_out(const NetworkRequest& request);
// The same for an interface that has its name already, and another card now: what it had is gone.
Result<void> configure_again(const NetworkRequest& request);

// Sets the parameters net.* of linux.sysctl and takes them out of the specification: the network is
// that of the whole guest, not of its container.
Result<void> set_network_knobs(oci::Spec& spec);

}  // namespace vrun::vm
