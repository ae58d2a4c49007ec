// The verbs `vrun run` and `vrun plan`.
#pragma once

#include "base/result.hpp"
#include "cli/options.hpp"
#include "engine/places.hpp"
#include "engine/request.hpp"

namespace vrun::cli {

struct EverydayCall {
  const Arguments& arguments;
  engine::Places places;
  Host host;
};

Result<int> everyday_run(const EverydayCall& call);
Result<int> everyday_plan(const EverydayCall& call);

engine::RunRequest to_request(const Arguments& arguments);
// --bandwidth, --bandwidth-in, --bandwidth-out; the narrower word wins.
void set_bandwidth(const Arguments& arguments, engine::RunRequest& request);

}  // namespace vrun::cli
