// In which order `vrun restore` starts guests at a boot.
#pragma once

#include <vector>

#include "engine/guests.hpp"

namespace vrun::engine {

// Stable: guests keep their places but for those that have to wait for others (--start-after).
// Names of guests that are not there are passed over; guests that wait for each other come last,
// in their first order.
void put_in_start_order(std::vector<Guest>& guests);

}  // namespace vrun::engine
