// The strict reader: texts to objects that are right, or every fault there is.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "manifest/node.hpp"
#include "manifest/table.hpp"

namespace vrun::manifest {

struct Source {
  std::string name;  // of the file, for messages
  std::string text;
};

struct Object {
  std::string kind, name;
  Place place;
  Node tree;  // the whole document
  // The fields alone as compact JSON in the table's order, maps sorted: the same object always
  // gives the same text. Only after a reading without faults.
  std::string spec;
};

struct Manifest {
  std::vector<Object> objects;  // in the order of the files
  Faults faults;                // sorted by place
};

// `settings`: the --set of a command line (settings.hpp). `known`: "Kind/name" of what is there
// already and may be referred to. Never touches files.
Manifest read_manifest(std::span<const Source> sources, std::span<const std::string> settings = {},
                       std::span<const std::string> known = {});

// "guests.web".
std::string path_of(const Object& object);

}  // namespace vrun::manifest
