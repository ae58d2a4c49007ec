// Guests that are there as a manifest.
#pragma once

#include <string>
#include <vector>

#include "base/result.hpp"
#include "base/text.hpp"
#include "engine/guests.hpp"
#include "engine/manifest_lines.hpp"

namespace vrun::engine {

struct ExportedManifest {
  std::string text;                // YAML, whose values are written as JSON
  std::vector<std::string> notes;  // what it cannot say

  // Each is a comment of the text, too: who gets the file may not see what the command said. It is
  // one line whatever is in it: labels are the guests' owners', and root may apply the file.
  void note(const std::string& what) {
    notes.push_back(what);
    text += "# not carried over: " + printable(what) + "\n";
  }
};

// Of the guests and CronJobs named, or of all. Networks that they are on, volumes, Secrets and
// Configs that they use come first; what Secrets and Configs hold is not written out: it belongs
// into no file.
Result<ExportedManifest> export_manifest(const Guests& guests,
                                         const std::vector<std::string>& names);

// All networks of the tenant but its default one.
Result<std::string> networks_text(const Guests& guests);

// Without those that apply keeps for itself.
std::vector<std::string> own_labels(std::vector<std::string> labels);

// The fields of a guest: what every kind that runs something has, those of its network, and restart
// with probes and commands around its life.
Lines program_lines(const RunRequest& request);
Lines network_lines(const RunRequest& request);
Lines life_lines(const RunRequest& request);

}  // namespace vrun::engine
