// One container (or one more process of a container) being brought up: clone, service, failure.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "base/sys.hpp"
#include "namespaces/plan.hpp"
#include "runtime/serve.hpp"
#include "steps/builder.hpp"

namespace vrun::runtime {

// Owns a child that has not yet become the guest's process: killed and reaped on drop unless
// released.
class Launched {
 public:
  explicit Launched(Serving serving) : serving_(std::move(serving)) {}
  Launched(Launched&& other) noexcept
      : serving_(std::move(other.serving_)), armed_(std::exchange(other.armed_, false)) {}
  Launched(const Launched&) = delete;
  Launched& operator=(const Launched&) = delete;
  Launched& operator=(Launched&&) = delete;
  ~Launched();

  Serving& serving() { return serving_; }
  Pid pid() const { return serving_.child.pid; }
  int pidfd() const { return serving_.child.pidfd.get(); }
  // The process goes on without us.
  sys::Child release();

 private:
  Serving serving_;
  bool armed_ = true;
};

struct LaunchRequest {
  steps::Builder* builder = nullptr;
  const namespaces::Plan* namespaces = nullptr;
  int cgroup_fd = -1;
  const std::vector<std::string>* argv = nullptr;
};

// Clones the stage with the finished program.
Result<Launched> launch(const LaunchRequest& request);

// Writes the pid in decimal, without newline, under a temporary name and renames it.
Result<void> write_pid_file(const std::string& path, Pid pid);
// Sends the pidfd to the unix socket at `path`.
Result<void> send_pidfd(const std::string& path, int pidfd);

}  // namespace vrun::runtime
