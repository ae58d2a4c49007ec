// What happened to guests: one JSON object a line in data/events.jsonl, appended whole.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "engine/guest_record.hpp"
#include "engine/places.hpp"

namespace vrun::engine {

// `action` as Docker calls it: create, start, die, stop, kill, oom, restart, rename, destroy,
// exec, health_status, attach ... A note that cannot be written is a warning, never a failure.
void note_event(const Places& places, const GuestRecord& record, std::string_view action,
                const std::map<std::string, std::string>& attributes = {});

// Where they are. At 10 MB the file becomes events.jsonl.1 (the one before is removed).
std::string events_path(const Places& places);

}  // namespace vrun::engine
