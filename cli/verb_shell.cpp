#include <unistd.h>

#include "base/sys.hpp"
#include "base/text.hpp"
#include "cli/verb_guests.hpp"
#include "engine/guest_shell.hpp"
#include "engine/system_guest.hpp"

namespace vrun::cli {

Result<int> everyday_shell(const EverydayCall& call) {
  const engine::Guests guests = TRY(guests_of(call));
  const engine::Guest guest = TRY(guests.find(call.arguments.word(0)));
  engine::ShellRequest request;
  request.user = call.arguments.text("user");
  for (std::size_t i = 1; i < call.arguments.words().size(); ++i)
    request.command.push_back(call.arguments.word(i));
  request.input = true;
  request.terminal = ::isatty(STDIN_FILENO) == 1 && ::isatty(STDOUT_FILENO) == 1;
  Result<int> code = engine::shell_in_guest(guests, guest.record, request);
  if (!code) return std::move(code).error().during("shell in " + guest.record.name);
  return code;
}

Result<int> everyday_machine_id(const EverydayCall& call) {
  const engine::Guests guests = TRY(guests_of(call));
  const engine::Guest guest = TRY(guests.find(call.arguments.word(0)));
  if (!engine::is_system(guest.record.request)) {
    return Error(Code::kState, "guest " + quote(guest.record.name) + " is no system guest")
        .hint("only guests of `vrun run --system` are machines with an id of their own");
  }
  TRY(sys::write_all(STDOUT_FILENO, engine::machine_id_of(guest.record.id) + "\n"));
  return 0;
}

}  // namespace vrun::cli
