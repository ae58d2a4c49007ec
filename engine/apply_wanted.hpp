// What a manifest asks of the host: its objects, and each guest of them as a request.
//
// A Guest with replicas is NAME-1 to NAME-N (without the field: NAME), a Group's guests are
// GROUP-NAME and share the network of the first, a Job is a guest that runs to its end. Pure.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "engine/cron.hpp"
#include "engine/request.hpp"
#include "manifest/wire.hpp"

namespace vrun::engine {

// How far another guest must be before this one may start.
enum class Condition : std::uint8_t { kStarted, kHealthy, kCompleted };
struct Dependency {
  std::string guest;  // its name on the host
  Condition condition = Condition::kStarted;
};

struct WantedGuest {
  std::string kind, object, name;
  std::string spec;    // of its object, as compact JSON: what it is compared by
  RunRequest request;  // complete, labels included
  std::vector<Dependency> after;
  bool is_job = false;
  std::size_t unavailable = 1;
  bool rollback = true;
  std::int64_t up_timeout_ms = 60000;
};

struct WantedObject {
  std::string kind, name, spec;
};

struct Wanted {
  std::string manifest;  // the name of the whole
  std::vector<WantedObject> networks, volumes, secrets, configs;
  std::vector<WantedGuest> guests;
  std::vector<CronJob> cron_jobs;
  // Whole lines: what cannot be made as it is described. Nothing is to be made while there are any.
  std::vector<std::string> faults;
};

// The labels by which objects are known again.
inline constexpr const char* kManifestLabel = "vrun.manifest";
inline constexpr const char* kObjectLabel = "vrun.object";      // "guests.web"
inline constexpr const char* kAppliedLabel = "vrun.applied";    // the spec
inline constexpr const char* kContentsLabel = "vrun.contents";  // "secret:db=VERSION,..."
inline constexpr const char* kMemberLabel = "vrun.member";      // in a Group: "guests[0]"

// Guests are checked by the rules of `run` (request_faults.hpp), so that a plan that is shown can
// be carried out as far as the manifest itself goes.
Wanted to_wanted(const std::string& manifest, const std::vector<manifest::WireObject>& objects);

// "limits.memory" -> "64m": each single value of a spec by its path. Environment and data too.
std::map<std::string, std::string> flat(std::string_view spec);

}  // namespace vrun::engine
