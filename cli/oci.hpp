// The verbs of `vrun-oci`: each takes a parsed command line, calls runtime/, prints what runc
// prints and answers the exit code.
#pragma once

#include <string_view>

#include "base/result.hpp"
#include "cli/oci_verbs.hpp"
#include "cli/options.hpp"
#include "runtime/container.hpp"

namespace vrun::cli {

struct OciCall {
  const Arguments& globals;
  const Arguments& arguments;
  runtime::Context context;
};

Result<int> oci_checkpoint(const OciCall& call);
Result<int> oci_create(const OciCall& call);
Result<int> oci_delete(const OciCall& call);
Result<int> oci_events(const OciCall& call);
Result<int> oci_exec(const OciCall& call);
Result<int> oci_features(const OciCall& call);
Result<int> oci_kill(const OciCall& call);
Result<int> oci_list(const OciCall& call);
Result<int> oci_pause(const OciCall& call);
Result<int> oci_ps(const OciCall& call);
Result<int> oci_restore(const OciCall& call);
Result<int> oci_resume(const OciCall& call);
Result<int> oci_run(const OciCall& call);
Result<int> oci_spec(const OciCall& call);
Result<int> oci_start(const OciCall& call);
Result<int> oci_state(const OciCall& call);
Result<int> oci_update(const OciCall& call);

// What create, run and restore read alike.
Result<runtime::CreateOptions> create_options(const OciCall& call);
// --preserve-fds as a count, with every descriptor checked to be open. `first` is where they start.
Result<unsigned> preserved_fds(const Arguments& arguments, unsigned first);

enum class Format { kTable, kJson };
Result<Format> output_format(const Arguments& arguments);

// All of `text` to stdout.
Result<int> print(std::string_view text);

}  // namespace vrun::cli
