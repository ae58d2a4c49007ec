#include "cli/verb_checkpoint.hpp"

#include <unistd.h>

#include "base/sys.hpp"
#include "cli/verb_guests.hpp"
#include "engine/checkpoint.hpp"
#include "engine/run.hpp"

namespace vrun::cli {
namespace {

using engine::GuestRecord;
using engine::Guests;

Result<int> for_each(const EverydayCall& call,
                     Result<void> (*work)(const Guests&, const GuestRecord&)) {
  TRY(engine::need_root(call.host));
  return for_each_guest(call, [&](const Guests& guests, const GuestRecord& record) -> Result<void> {
    TRY(work(guests, record));
    return sys::write_all(STDOUT_FILENO, record.name + "\n");
  });
}

}  // namespace

Result<int> everyday_checkpoint(const EverydayCall& call) {
  if (call.arguments.on("leave-running")) {
    return Error(Code::kUnsupported,
                 "--leave-running: the guest's files would change behind what is kept of it")
        .hint("`vrun vm snapshot` keeps memory and files of one moment, and the guest goes on");
  }
  return for_each(call,
                  call.arguments.on("drop") ? engine::drop_checkpoint : engine::checkpoint_guest);
}

Result<int> everyday_restore_named(const EverydayCall& call) {
  return for_each(call, engine::restore_guest);
}

}  // namespace vrun::cli
