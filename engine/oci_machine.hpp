// OCI bundles that ask for a kernel of their own: by the specification's `vm` object, or by the
// annotation "vrun.isolation" = "vm". They have the same machine as guests of `run --isolation vm`;
// what belongs to it lies in the container's state folder.
#pragma once

#include <string>

#include "base/result.hpp"
#include "oci/spec.hpp"
#include "runtime/container.hpp"

namespace vrun::engine {

inline constexpr const char* kIsolationAnnotation = "vrun.isolation";

// kInvalid for an annotation that says anything but "vm" and "container".
Result<bool> wants_machine(const oci::Spec& spec);

// For runtime::Context. What of the `vm` object cannot be done is refused, all faults at once.
runtime::Lowering lower_to_machine(const Host& host);

// `checkpoint` of one: DIR/machine gets its state and memory, and it ends and is removed, unless it
// is to run on. The files of the bundle stay where they are.
struct OciCheckpoint {
  std::string id, image_path;
  bool leave_running = false;
};
Result<void> checkpoint_machine(const runtime::Context& context, const OciCheckpoint& wish);
// Whether DIR has what checkpoint_machine() leaves.
bool is_machine_image(const std::string& image_path);
// Instead of lower_to_machine(): the machine goes on from there.
runtime::Lowering lower_to_saved_machine(const Host& host, const std::string& image_path);

// A container that is a micro-VM, and runs or ran.
bool is_machine(const runtime::Context& context, const std::string& id);
// runtime::exec for it. kUnsupported for what only a process of the host can have.
Result<int> exec_in_machine(const runtime::Context& context, const runtime::ExecOptions& options);

}  // namespace vrun::engine
