// The kernels that guests can get: the host's own, and those that were added.
//
// Below the data directory:
//   vm/kernels/NAME/kernel    the file as it was given
//   vm/kernels/NAME/modules   a link to the directory with its modules, if it has one
// An added kernel is there whole or not at all. Adding and removing wait for each other.
#pragma once

#include <string>
#include <vector>

#include "base/result.hpp"
#include "vm/kernel_choice.hpp"

namespace vrun::vm {

// Where a host keeps kernels; other places in tests.
struct KernelPlaces {
  std::string data;                      // the data directory
  std::string boot = "/boot";            // vmlinuz-RELEASE
  std::string modules = "/lib/modules";  // RELEASE/, and RELEASE/vmlinuz since Debian 14
};

struct ShelfKernel {
  HostKernel kernel;   // release: the name, for an added one
  bool added = false;  // by `vm kernel add`
};

// Newest first; added ones before the host's own.
Result<std::vector<ShelfKernel>> list_kernels(const KernelPlaces& places);

// By name or release; empty: the newest added one with modules, else default_kernel(). kNotFound
// says what there is.
Result<HostKernel> find_kernel(const KernelPlaces& places, const std::string& name);

// A kernel by its path, with the modules that this host has for the release in its name, if any.
Result<HostKernel> kernel_at(const KernelPlaces& places, const std::string& file);

struct NewKernel {
  std::string name, file;
  std::string modules;  // empty: the host's for the same name, if there are any
};
// kExists for a name that is taken, kInvalid for what is no kernel (by its first bytes).
Result<void> add_kernel(const KernelPlaces& places, const NewKernel& kernel);
Result<void> remove_kernel(const KernelPlaces& places, const std::string& name);

}  // namespace vrun::vm
