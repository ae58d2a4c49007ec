// `vrun debug`: flags into a request.
#include <unistd.h>

#include "cli/verb_guests.hpp"
#include "cli/verb_tools.hpp"
#include "engine/guest_debug.hpp"
#include "engine/run.hpp"

namespace vrun::cli {

Result<int> everyday_debug(const EverydayCall& call) {
  const Arguments& arguments = call.arguments;
  TRY(engine::need_root(call.host));
  const engine::Guests guests = TRY(guests_of(call));
  const engine::Guest guest = TRY(guests.find(arguments.word(0)));
  engine::DebugRequest request;
  request.image = arguments.text("image");
  for (std::size_t i = 1; i < arguments.words().size(); ++i)
    request.command.push_back(arguments.word(i));
  const bool terminals = ::isatty(STDIN_FILENO) == 1 && ::isatty(STDOUT_FILENO) == 1;
  request.tty = arguments.has("tty") ? arguments.on("tty") : terminals;
  Result<int> code = engine::debug_guest(guests, guest.record, request);
  if (!code) return std::move(code).error().during("debug " + guest.record.name);
  return code;
}

}  // namespace vrun::cli
