// How a guest ended, for who waits for one that is gone with its end (--rm).
//
// It is written into `exit` in the directory of the guest's monitor, before that goes: who waits
// holds the file open.
#pragma once

#include <optional>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "engine/guests.hpp"

namespace vrun::engine {

// For a guest that is there.
Result<Fd> open_told_end(const Guests& guests, const GuestRecord& record);
// For one that is still to be started, whose end may come at once: a file without a name, which
// gets it before the guest's monitor can write to it.
Result<Fd> make_told_end(const Guests& guests);
Result<void> name_told_end(const Guests& guests, const GuestRecord& record, const Fd& file);

// Nobody may wait: that is success.
void tell_end(const Guests& guests, const GuestRecord& record);
// None: nobody has told it.
std::optional<LastExit> told_end(const Fd& file);

}  // namespace vrun::engine
