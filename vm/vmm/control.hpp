// Calls to the VMM itself, from the engine: over a unix socket that only root can reach.
//
// The frames are those of the agent (vm/agent/frames.hpp): hello of both sides, one kCall, one
// kAnswer or kError. A call is {"call": name, ...}.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "vm/agent/frames.hpp"
#include "vm/vmm/worker.hpp"

namespace vrun::vmm {

class Control {
 public:
  // Gets the call's JSON, answers JSON. Runs on the control's own thread.
  using Call = std::function<Result<std::string>(std::string_view json)>;

  // The same for a call that comes with a descriptor, in the first of its bytes.
  using FileCall = std::function<Result<std::string>(std::string_view json, Fd file)>;

  // Serves from now on. `calls`: by name.
  static Result<std::unique_ptr<Control>> create(Fd listener, std::map<std::string, Call> calls,
                                                 std::map<std::string, FileCall> file_calls = {});
  ~Control();

 private:
  Control(std::unique_ptr<Worker> worker, Fd listener, std::map<std::string, Call> calls,
          std::map<std::string, FileCall> file_calls);
  void serve();
  Result<std::string> answer(const vm::Frame& frame, Fd file) const;

  Fd listener_;
  std::map<std::string, Call> calls_;
  std::map<std::string, FileCall> file_calls_;
  std::unique_ptr<Worker> worker_;  // last: it ends before what its thread uses
};

}  // namespace vrun::vmm
