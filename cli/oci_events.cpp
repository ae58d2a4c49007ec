#include "cli/oci.hpp"
#include "cli/oci_json.hpp"

namespace vrun::cli {
namespace {

Result<int> interval_ms(const Arguments& given) {
  using std::chrono::milliseconds;
  const auto interval = given.duration("interval");
  constexpr auto kMost = std::chrono::hours(24);
  if (interval >= milliseconds(1) && interval <= kMost) {
    return static_cast<int>(std::chrono::duration_cast<milliseconds>(interval).count());
  }
  return Error(Code::kInvalid,
               "flag --interval: " + given.text("interval") + " is not between 1ms and 24h");
}

}  // namespace

Result<int> oci_events(const OciCall& call) {
  const std::string id = call.arguments.word(0);
  runtime::Watch watch;
  watch.interval_ms = TRY(interval_ms(call.arguments));
  if (call.arguments.on("stats")) {
    return print(stats_line(id, TRY(runtime::stats(call.context, id))));
  }
  // A reader that has gone ends the watch: nobody is left to be told.
  watch.on_stats = [&](const cgroups::Stats& stats) {
    return print(stats_line(id, stats)).has_value();
  };
  watch.on_oom = [&] { return print(oom_line(id)).has_value(); };
  TRY(runtime::watch(call.context, id, watch));
  return 0;
}

}  // namespace vrun::cli
