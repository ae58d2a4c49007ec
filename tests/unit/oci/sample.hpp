// Data of the tests of oci/.
#pragma once

#include <fstream>
#include <sstream>
#include <string>

namespace vrun::oci::test {

inline std::string read_data(const std::string& name) {
  std::ifstream file(std::string(VRUN_TEST_DATA) + "/" + name);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

// A config that has every field that the reader knows, each with a value other than its default.
inline std::string full_config() {
  return read_data("full.json");
}

}  // namespace vrun::oci::test
