// From what is wanted and what is there to what is to be done. Changes nothing.
#pragma once

#include <string>
#include <vector>

#include "base/host.hpp"
#include "base/result.hpp"
#include "engine/apply_wanted.hpp"
#include "engine/guests.hpp"

namespace vrun::engine {

enum class Act : std::uint8_t {
  kNone,
  kCreate,
  kChange,  // while it runs
  kStart,   // there as wanted, but it does not run
  kReplace,
  kDelete,
};

struct PlanStep {
  Act act = Act::kNone;
  std::string kind, name;            // "Guest", "web-1"
  std::vector<std::string> reasons;  // "limits.memory: 64m -> 128m"
  std::size_t index = 0;             // into the list of its kind of Wanted; not for kDelete
};

struct Plan {
  std::vector<PlanStep> steps;
  bool changes() const;
};

struct PruneRule {
  bool prune = false;    // what the manifest made before and no longer names is deleted
  bool volumes = false;  // its volumes too; else what lies in them stays
};
// What somebody else made under a wanted name is a fault: apply never takes over what it did not
// make.
Result<Plan> make_plan(const Guests& guests, const Wanted& wanted, const PruneRule& rule);
// Everything that a manifest of this name, or these objects, made.
Result<Plan> plan_delete(const Guests& guests, const Wanted& wanted, bool with_volumes);

// A line a step, with its reasons; the contents of secrets are never among them.
std::string plan_text(const Plan& plan);
std::string plan_json(const Plan& plan);

// The files of a Secret or Config: its data, and its files read from the disk.
Result<std::map<std::string, std::string>> content_files(const WantedObject& object,
                                                         const Host& host);

}  // namespace vrun::engine
