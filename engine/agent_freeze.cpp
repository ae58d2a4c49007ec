#include "engine/agent_freeze.hpp"

#include <chrono>

#include "base/sys.hpp"
#include "engine/micro_vm.hpp"
#include "engine/micro_vm_call.hpp"
#include "vm/agent/frames.hpp"

namespace vrun::engine {

Result<AgentFreeze> AgentFreeze::begin(const Guests& guests, const GuestRecord& record) {
  return begin_in(guests.monitor_dir(record));
}

Result<AgentFreeze> AgentFreeze::begin_in(const std::string& dir) {
  constexpr std::chrono::seconds kToFreeze{30};
  AgentFreeze freeze(TRY(sys::connect_stream(dir + "/" + kAgentSocket)));
  TRY(sys::send(freeze.agent_.get(), call_bytes(R"({"call":"freeze"})")));
  TRY(read_answer(freeze.agent_, kToFreeze));
  return freeze;
}

void AgentFreeze::end() {
  // Any word does; without one the agent waits for an adoption that does not come.
  if (agent_) static_cast<void>(sys::send(agent_.get(), vm::encode(vm::FrameType::kInputEnd)));
  agent_.reset();
}

}  // namespace vrun::engine
