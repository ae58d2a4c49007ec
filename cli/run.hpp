// The verbs `vrun run` and `vrun plan`.
#pragma once

#include "base/host.hpp"
#include "base/result.hpp"
#include "cli/options.hpp"
#include "engine/places.hpp"
#include "engine/request.hpp"

namespace vrun::cli {

struct EverydayCall {
  const Arguments& arguments;
  engine::Places places;
  Host host;
  std::string tenant = "default";
};

Result<int> everyday_run(const EverydayCall& call);
Result<int> everyday_plan(const EverydayCall& call);

Result<engine::RunRequest> to_request(const Arguments& arguments);

}  // namespace vrun::cli
