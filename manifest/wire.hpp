// What vrun asks of vrun-manifest (JSON on its stdin) and what that answers (JSON on its stdout).
//
// Contents of Secrets go over this pipe and nowhere else.
#pragma once

#include <string>
#include <vector>

#include "base/result.hpp"

namespace vrun::manifest {

struct WireFile {
  std::string name, text;
  bool operator==(const WireFile&) const = default;
};
struct WireRequest {
  std::vector<WireFile> files;
  std::vector<std::string> settings;  // --set
  std::vector<std::string> known;     // "Kind/name"
};
struct WirePlace {
  std::string path, place;  // "limits.ulimits[1]", "shop.yaml:7:3"
  bool operator==(const WirePlace&) const = default;
};
struct WireObject {
  std::string kind, name, place;
  std::string spec;               // compact JSON
  std::vector<WirePlace> places;  // of its fields; those that --set made have none
  bool operator==(const WireObject&) const = default;
};
struct WireAnswer {
  std::vector<std::string> faults;  // whole lines
  std::vector<WireObject> objects;  // none when there are faults
  // convert: the manifest, and what it cannot carry over.
  std::string text;
  std::vector<std::string> notes;
};

std::string to_json(const WireRequest& request);
std::string to_json(const WireAnswer& answer);
Result<WireRequest> parse_wire_request(std::string_view json);
Result<WireAnswer> parse_wire_answer(std::string_view json);

}  // namespace vrun::manifest
