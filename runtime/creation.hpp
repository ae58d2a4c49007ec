// The transaction that makes a container. Everything it made is undone on drop until commit().
#pragma once

#include <memory>
#include <optional>

#include "base/result.hpp"
#include "cgroups/intel_rdt.hpp"
#include "runtime/launch.hpp"
#include "runtime/listener.hpp"
#include "runtime/plan.hpp"
#include "runtime/record.hpp"

namespace vrun::runtime {

// What is recorded of a container that is about to be made; its process comes later.
Record new_record(const Context& context, const Input& input, const cgroups::Group& group);
// The state document that hooks get.
oci::State state_of(const Record& record, Pid pid, const char* status);

// Intent record, cgroup, mark: in this order, so that kill -9 at any moment leaves what `delete
// --force` can undo. On failure there is no group.
Result<void> make_recorded_group(const Fd& folder, const Record& record, cgroups::Group& group);

// What linux.resources and linux.devices say.
Result<void> set_limits(const oci::Spec& spec, cgroups::Group& group);
// What linux.intelRdt says, if anything: `rdt` owns what was made, `record` can undo it later.
Result<void> join_intel_rdt(const Input& input, const Host& host, Pid pid,
                            std::optional<cgroups::IntelRdt>& rdt, Record& record);

class Creation {
 public:
  // Up to the point where the stage is ready for the gate (or, without a gate, for the exec). The
  // order, and what undoes each: state folder (removed), intent record, cgroup (killed, removed),
  // process (killed, reaped).
  static Result<std::unique_ptr<Creation>> begin(const Context& context, Input input);
  Creation(const Creation&) = delete;
  Creation& operator=(const Creation&) = delete;
  ~Creation();

  // Pid file, pidfd socket, state: from here on other commands see the container.
  Result<void> publish();
  // Nothing is undone any more, and other commands may work on the container.
  sys::Child commit();

  Serving& serving() { return launched_->serving(); }
  const oci::Spec& spec() const { return input_.spec; }
  const Record& record() const { return record_; }

 private:
  Creation(const Context& context, Input input, NewFolder folder,
           std::unique_ptr<cgroups::Group> group, Record record);
  Result<void> make_group();
  Result<void> make_process();
  Result<void> configure();
  Error explain(Error error) const;
  Result<void> answer(Ask what);

  const Context& context_;
  Input input_;
  NewFolder folder_;
  std::unique_ptr<cgroups::Group> group_;
  std::optional<Plan> plan_;
  Record record_;
  std::optional<ListenerRequest> listener_;
  std::optional<cgroups::IntelRdt> rdt_;
  std::optional<Launched> launched_;
  bool hooks_began_ = false;  // then poststop is owed, whatever happens (runtime-spec, lifecycle)
  bool group_made_ = false;
  bool committed_ = false;
};

}  // namespace vrun::runtime
