#include "cli/verb_guests.hpp"
#include "engine/caller_files.hpp"
#include "engine/environment.hpp"
#include "engine/guest_exec.hpp"

namespace vrun::cli {

Result<int> everyday_exec(const EverydayCall& call) {
  constexpr std::size_t kEnvFileBytes = 16U << 20U;
  const Arguments& arguments = call.arguments;
  const engine::Guests guests = TRY(guests_of(call));
  const engine::Guest guest = TRY(guests.find(arguments.word(0)));
  engine::ExecRequest request;
  for (std::size_t i = 1; i < arguments.words().size(); ++i)
    request.command.push_back(arguments.word(i));
  engine::Environment environment(TRY(engine::caller_environment(call.host)));
  for (const std::string& file : arguments.list("env-file")) {
    const std::string text = TRY(engine::read_caller_file(call.host, file, kEnvFileBytes));
    TRY(environment.add_file(text, file));
  }
  for (const std::string& entry : arguments.list("env"))
    TRY(environment.add(entry));
  request.env = environment.entries();
  request.workdir = arguments.text("workdir");
  request.user = arguments.text("user");
  request.tty = arguments.on("tty");
  request.interactive = arguments.on("interactive");
  request.detach = arguments.on("detach");
  request.privileged = arguments.on("privileged");
  Result<int> code = engine::exec_in_guest(guests, guest.record, request);
  if (!code) return std::move(code).error().during("exec in " + guest.record.name);
  return code;
}

}  // namespace vrun::cli
