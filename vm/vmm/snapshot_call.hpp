// The call `snapshot` of the control socket: the machine's state and memory into files.
//
//   engine                                   vrun-vmm
//   kCall {"call": "snapshot"}, one end
//   of a SOCK_SEQPACKET pair           ->
//   over the pair: a packet with the
//   file for the state, one with that
//   for the memory                     ->
//                                            the machine stands still
//                                      <-    over the pair: {"bytes", "processors"}
//   copies what the machine has written,
//   closes its end of the pair         ->
//                                            the machine goes on
//                                      <-    kAnswer; or kError at any time
//
// A packet with a byte instead of the pair's end: the machine stands still for good. vrun-vmm ends,
// and its report says that the guest is checkpointed (vm/agent/report.hpp).
//
// An engine that dies closes its end as well, so that no machine stands still for ever.
#pragma once

#include <map>
#include <string>

#include "vm/vmm/control.hpp"
#include "vm/vmm/machine.hpp"

namespace vrun::vmm {

std::map<std::string, Control::FileCall> snapshot_calls(Machine& machine,
                                                        const MachineShape& shape);

}  // namespace vrun::vmm
