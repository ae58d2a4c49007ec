// A whole guest as one stream, to another host: `vrun guest export` and `import`.
//
// A tar with these entries, in this order (docs/snapshots.md draws it):
//   vrun-guest.json   format, version, where it came from, image, volumes
//   guest.json        the guest's record
//   image/            with the image: an OCI layout
//   upper/            the writable layer; what is gone from the image by .wh. names, as in layers
//   volumes/N/        the N-th volume of vrun-guest.json
// Snapshots, logs and secrets stay where they are.
#pragma once

#include <string>
#include <vector>

#include "base/result.hpp"
#include "engine/guests.hpp"

namespace vrun::engine {

struct GuestExport {
  std::string snapshot;  // empty: as it is now
  bool with_image = false;
};
// To the descriptor `out`. A running guest stands still only while a copy is made aside, not for
// the reader; one that does not run cannot be started meanwhile.
Result<void> export_guest(const Guests& guests, const GuestRecord& record, const GuestExport& wish,
                          int out);

struct GuestImport {
  std::string name;             // empty: as it was called
  bool rename_volumes = false;  // its named volumes become NAME-VOLUME
  bool trust = false;           // what its configuration asks of the host is granted
};
// From the descriptor `in`. The guest has never run here and is not started. Its configuration is
// checked as a new request is; what it asks of the host is listed and refused unless trusted. On an
// error nothing is left, nor when this is killed: see staged_dir.hpp.
Result<GuestRecord> import_guest(const Guests& guests, const GuestImport& wish, int in);

// What the request wants of the host that runs it, as flags; for a stranger's request.
std::vector<std::string> asks_of_host(const RunRequest& request);

}  // namespace vrun::engine
