// The call by which the engine changes what a disk may do while the guest runs.
//
//   {"call": "set-disk", "disk": NAME, "limits": {"readBytes", "writeBytes", "readOperations",
//    "writeOperations"}}: a second each; 0 or absent: no limit. Answers {}.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "vm/vmm/control.hpp"
#include "vm/vmm/rate.hpp"

namespace vrun::vmm {

// `set`: on the control's thread; kInvalid for a disk that is not there.
void add_disk_call(std::map<std::string, Control::Call>& calls,
                   std::function<Result<void>(const std::string& disk, const DiskLimits&)> set);

}  // namespace vrun::vmm
