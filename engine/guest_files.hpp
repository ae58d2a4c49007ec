// Small things beside a guest's record.
#pragma once

#include "base/fd.hpp"
#include "base/result.hpp"
#include "engine/guest_dir.hpp"
#include "engine/guest_record.hpp"
#include "oci/image.hpp"

namespace vrun::engine {

// What the guest was made from.
Result<oci::ImageConfig> read_image_config(const Fd& guest_dir);
// What write_guest_files() is to write for it.
GuestFiles files_of(const GuestRecord& record, std::uint32_t first_id);

// The master of the guest's terminal, from the process that keeps it for us.
Result<Fd> take_console(const Fd& monitor_dir);

}  // namespace vrun::engine
