// The volumes of one guest: which it has, made before it starts, filled at their first use, and
// taken away with it when they are its own.
#pragma once

#include <string>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "engine/guest_record.hpp"
#include "engine/guests.hpp"
#include "engine/volumes.hpp"
#include "oci/image.hpp"
#include "oci/spec.hpp"

namespace vrun::engine {

// Settles in the record which volumes the guest has: those of its flags, and one of its own for
// each place that the image declares and no flag covers. Two mounts at one place are an error.
// Nothing is made.
Result<void> settle_volumes(const oci::ImageConfig& image, GuestRecord& record);

// A volume that a flag asks for; one without a name gets one.
VolumeUse use_of(const AskedMount& asked);

// Makes those that are not there. The guest's record is on disk already (volume_store.hpp).
Result<void> make_volumes(const Guests& guests, const GuestRecord& record);

// As mounts for its specification.
std::vector<oci::Mount> volume_mounts(const Guests& guests, const GuestRecord& record);

// An empty volume gets what the guest's root directory has at its place, with owners and
// attributes; so does a directory without content (its owner and mode). The copy is made aside
// (incoming/), renamed when it is whole (complete/) and then moved entry by entry: whoever comes
// after a killed command finds the first and drops it, or the second and goes on.
Result<void> fill_volumes(const Guests& guests, const GuestRecord& record, const Fd& root,
                          const std::vector<oci::IdMapping>& ids);

// An error about a mount of its specification ("mounts[11]"), in the words of the flag that asked
// for it.
Error in_flag_words(Error error, const oci::Spec& spec, const GuestRecord& record);

// Every place where something is mounted in the guest.
std::vector<std::string> mount_points(const GuestRecord& record);

// The guest's own volumes; those that another guest has by now stay.
Result<void> remove_own_volumes(const Guests& guests, const GuestRecord& record);

}  // namespace vrun::engine
