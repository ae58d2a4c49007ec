#include "runtime/listener.hpp"

#include <ctime>

#include <sys/mman.h>

#include "base/json_writer.hpp"
#include "base/sys.hpp"
#include "oci/documents.hpp"
#include "steps/ops.hpp"

namespace vrun::runtime {
namespace {

// The first pages of the block, where the stage and we meet.
class SharedProgram {
 public:
  static Result<SharedProgram> map(const Fd& block) {
    void* at =
        ::mmap(nullptr, sizeof(steps::Program), PROT_READ | PROT_WRITE, MAP_SHARED, block.get(), 0);
    if (at == MAP_FAILED) return Error::system(errno, "map the program block");
    return SharedProgram(static_cast<steps::Program*>(at));
  }
  SharedProgram(SharedProgram&& other) noexcept
      : program_(std::exchange(other.program_, nullptr)) {}
  SharedProgram(const SharedProgram&) = delete;
  SharedProgram& operator=(const SharedProgram&) = delete;
  SharedProgram& operator=(SharedProgram&&) = delete;
  ~SharedProgram() {
    if (program_ != nullptr) ::munmap(program_, sizeof(steps::Program));
  }
  steps::Program* operator->() const { return program_; }

 private:
  explicit SharedProgram(steps::Program* program) : program_(program) {}
  steps::Program* program_;
};

Result<int> await_number(const SharedProgram& program) {
  constexpr int kTries = 50000;
  constexpr timespec kPause{0, 100000};  // 0.1 ms
  for (int i = 0; i < kTries; ++i) {
    const int number = __atomic_load_n(&program->notify_fd, __ATOMIC_ACQUIRE);
    if (number > 0) return number;
    ::nanosleep(&kPause, nullptr);
  }
  return Error(Code::kTimeout, "the seccomp listener did not appear").at("linux.seccomp");
}

// The document of runtime-spec "Container Process State".
std::string process_state(const ListenerRequest& request) {
  json::Writer writer;
  writer.begin_object();
  writer.member("ociVersion", request.state.oci_version);
  writer.key("fds").begin_array().value("seccompFd").end_array();
  writer.member("pid", static_cast<std::int64_t>(request.state.pid));
  writer.member("metadata", request.metadata);
  std::string text = writer.end_object().take();
  text.pop_back();
  return text + ",\"state\":" + oci::to_json(request.state, false) + "}";
}

}  // namespace

Result<void> deliver_listener(const ListenerRequest& request, int pidfd, const Fd& block) {
  SharedProgram program = TRY(SharedProgram::map(block));
  Fd agent = TRY(sys::connect_stream(request.path));
  const int number = TRY(await_number(program));
  Fd listener = TRY(sys::pidfd_getfd(pidfd, number));
  TRY(sys::send(agent.get(), process_state(request), listener.get()));
  __atomic_store_n(&program->notify_taken, 1U, __ATOMIC_RELEASE);
  return {};
}

}  // namespace vrun::runtime
