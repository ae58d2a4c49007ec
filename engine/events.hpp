// What happened to guests, networks and volumes, in the journal (base/journal.hpp). Those of images
// are noted where images come and go (images/names.hpp).
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "engine/guest_record.hpp"
#include "engine/guests.hpp"
#include "engine/places.hpp"

namespace vrun::engine {

// `action` as Docker calls it: create, start, die, stop, kill, oom, restart, rename, destroy,
// exec, health_status, attach ... A note that cannot be written is a warning, never a failure.
void note_event(const Places& places, const GuestRecord& record, std::string_view action,
                const std::map<std::string, std::string>& attributes = {});

// create, remove; connect and disconnect of a guest by name, not those of its starts and ends.
void note_network(const Guests& guests, const std::string& network, std::string_view action,
                  const GuestRecord* guest = nullptr);

// create, destroy.
void note_volume(const Guests& guests, const std::string& volume, std::string_view action);

// Where they are.
std::string events_path(const Places& places);

}  // namespace vrun::engine
