#include "vm/vmm/virtio.hpp"

namespace vrun::vmm {

Result<void> VirtioDevice::save(StateWriter&) const {
  return Error(Code::kUnsupported, "a machine with a virtio device of type " +
                                       std::to_string(type()) + " cannot be saved");
}

Result<void> VirtioDevice::load(StateReader&) {
  return Error(Code::kInvalid, "a virtio device of type " + std::to_string(type()) +
                                   " was never in a saved machine");
}

}  // namespace vrun::vmm
