// Which of a host's kernels guests get: pure, on what is there.
#pragma once

#include <string>
#include <vector>

namespace vrun::vm {

struct HostKernel {
  std::string release;  // "6.1.0-28-cloud-amd64": also the name of its directory of modules
  std::string file;     // "/boot/vmlinuz-6.1.0-28-cloud-amd64"
  std::string modules;  // "/lib/modules/6.1.0-28-cloud-amd64"; empty: it has none
  bool operator==(const HostKernel&) const = default;
};

// Numbers by their value, the rest by its bytes: "6.1.0-9" comes before "6.1.0-28".
bool is_older(const std::string& a, const std::string& b);

// Newest first; of two with the same version the one for clouds.
void sort_kernels(std::vector<HostKernel>& kernels);

// The newest that has modules and is made for servers (not the real-time kernel); nullptr: none is.
const HostKernel* default_kernel(const std::vector<HostKernel>& sorted);

}  // namespace vrun::vm
