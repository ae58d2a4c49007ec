// Where vrun's own things are: shipped data, kept data, volatile data.
#pragma once

#include <string>

#include "base/host.hpp"
#include "base/result.hpp"

namespace vrun::engine {

struct Places {
  // /var/lib/vrun, without root $XDG_DATA_HOME/vrun: images and guests; VRUN_DATA_DIR or --data-dir
  std::string data;
  // /run/vrun, without root $XDG_RUNTIME_DIR/vrun: state of live guests; VRUN_RUN_DIR
  std::string run;
  std::string images;  // the images shipped with this build or install

  // Looks beside the running program, so that a build tree works without being installed.
  static Result<Places> find(const Host& host, const std::string& data_dir = "");

  // The OCI state root and the writable layers of one tenant's guests.
  std::string states(const std::string& tenant) const { return run + "/guests/" + tenant; }
  std::string guests(const std::string& tenant) const { return data + "/guests/" + tenant; }
  std::string volumes(const std::string& tenant) const { return data + "/volumes/" + tenant; }
  // What the monitors of live guests keep.
  std::string monitors(const std::string& tenant) const { return run + "/monitors/" + tenant; }
};

}  // namespace vrun::engine
