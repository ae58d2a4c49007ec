#include "images/transfer/courier.hpp"

#include <condition_variable>
#include <deque>
#include <mutex>
#include <new>
#include <thread>
#include <vector>

#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/json_table.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "images/transfer/registry.hpp"
#include "images/transfer/sandbox.hpp"

namespace vrun::images {
namespace {

constexpr std::size_t kMessageBytes = 128U << 10U;
constexpr std::array<std::string_view, 6> kTaskKinds{"manifest", "blob",   "ping",
                                                     "has-blob", "upload", "put-manifest"};

}  // namespace

constexpr auto json_names(const TaskKind*) {
  return kTaskKinds;
}

constexpr auto json_fields(const CourierTask*) {
  using T = CourierTask;
  return json::fields(json::field("id", &T::id), json::field("kind", &T::kind, {.required = true}),
                      json::field("repository", &T::repository),
                      json::field("reference", &T::reference), json::field("digest", &T::digest),
                      json::field("mediaType", &T::media_type),
                      json::field("mountFrom", &T::mount_from), json::field("size", &T::size),
                      json::field("slot", &T::slot));
}

constexpr auto json_fields(const CourierAnswer*) {
  using A = CourierAnswer;
  return json::fields(json::field("id", &A::id), json::field("failed", &A::failed),
                      json::field("code", &A::code), json::field("text", &A::text),
                      json::field("hint", &A::hint), json::field("mediaType", &A::media_type),
                      json::field("digest", &A::digest), json::field("found", &A::found),
                      json::field("mounted", &A::mounted),
                      json::field("readerGone", &A::reader_gone));
}

namespace {

struct Parcel {
  CourierTask task;
  Fd fd;
};

// The side that works.
class Office {
 public:
  Office(const Network& network, ByteCounters& counters, Fd wire)
      : network_(network), counters_(counters), wire_(std::move(wire)) {}

  // Until the parent closes the wire.
  void serve(unsigned parallel) {
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < parallel; ++i)
      threads.emplace_back([this] { work(); });
    std::string buffer(kMessageBytes, '\0');
    while (true) {
      Result<sys::Received> got = sys::receive(wire_.get(), buffer);
      if (!got || got->bytes == 0) ::_exit(0);
      Result<CourierTask> task =
          json::read<CourierTask>(std::string_view(buffer).substr(0, got->bytes), "task");
      if (!task) ::_exit(1);
      {
        const std::lock_guard lock(mutex_);
        waiting_.push_back({*std::move(task), std::move(got->fd)});
      }
      came_.notify_one();
    }
  }

 private:
  void work() {
    Registry registry(network_, learned_);
    while (true) {
      Parcel parcel;
      {
        std::unique_lock lock(mutex_);
        came_.wait(lock, [this] { return !waiting_.empty(); });
        parcel = std::move(waiting_.front());
        waiting_.pop_front();
      }
      CourierAnswer answer;
      Result<void> done = perform(registry, parcel, answer);
      answer.id = parcel.task.id;
      if (!done) {
        answer.failed = true;
        answer.code = static_cast<int>(done.error().code());
        answer.text = done.error().text();
        answer.hint = done.error().hint();
      }
      // First the end of the stream, then the answer: who waits for both waits for one.
      parcel.fd.reset();
      static_cast<void>(sys::send(wire_.get(), json::write(answer)));
    }
  }

  Result<void> perform(Registry& registry, const Parcel& parcel, CourierAnswer& answer) {
    const CourierTask& task = parcel.task;
    switch (task.kind) {
      case TaskKind::kManifest:
        return fetch_manifest(registry, parcel, answer);
      case TaskKind::kBlob:
        return registry.blob(
            task.repository, task.digest, task.size,
            [&](std::span<const char> bytes) { return deliver(parcel, bytes, answer); });
      case TaskKind::kPing:
        return registry.ping();
      case TaskKind::kHasBlob:
        answer.found = TRY(registry.has_blob(task.repository, task.digest));
        return {};
      case TaskKind::kUpload:
        return upload(registry, parcel, answer);
      case TaskKind::kPutManifest:
        return put_manifest(registry, parcel, answer);
    }
    return Error(Code::kInternal, "unknown task");
  }

  static Result<void> fetch_manifest(Registry& registry, const Parcel& parcel,
                                     CourierAnswer& answer) {
    const CourierTask& task = parcel.task;
    FetchedManifest fetched = TRY(registry.manifest(task.repository, task.reference));
    answer.media_type = std::move(fetched.media_type);
    return sys::write_all(parcel.fd.get(), fetched.body);
  }

  Result<void> deliver(const Parcel& parcel, std::span<const char> bytes, CourierAnswer& answer) {
    Result<void> written = sys::write_all(parcel.fd.get(), {bytes.data(), bytes.size()});
    if (!written) {
      answer.reader_gone = written.error().sys_errno() == EPIPE;
      return written;
    }
    counters_.add(parcel.task.slot, bytes.size());
    return {};
  }

  Result<void> upload(Registry& registry, const Parcel& parcel, CourierAnswer& answer) {
    const CourierTask& task = parcel.task;
    Registry::Upload upload{.repository = task.repository,
                            .digest = task.digest,
                            .size = task.size,
                            .mount_from = task.mount_from,
                            .give = {}};
    upload.give = [&](std::uint64_t offset, std::span<char> buffer) -> Result<std::size_t> {
      const ssize_t n =
          ::pread(parcel.fd.get(), buffer.data(), buffer.size(), static_cast<off_t>(offset));
      if (n < 0) return Error::system(errno, "read blob " + task.digest);
      if (n == 0) return Error(Code::kState, "blob " + task.digest + ": shorter than it says");
      counters_.add(task.slot, static_cast<std::uint64_t>(n));
      return static_cast<std::size_t>(n);
    };
    answer.mounted = TRY(registry.upload(upload)) == Registry::Uploaded::kMounted;
    return {};
  }

  static Result<void> put_manifest(Registry& registry, const Parcel& parcel,
                                   CourierAnswer& answer) {
    const CourierTask& task = parcel.task;
    std::string body(task.size, '\0');
    const ssize_t n = ::pread(parcel.fd.get(), body.data(), body.size(), 0);
    if (n != static_cast<ssize_t>(body.size())) return Error::system(EIO, "read manifest");
    answer.digest =
        TRY(registry.put_manifest(task.repository, task.reference, task.media_type, body));
    return {};
  }

  const Network& network_;
  ByteCounters& counters_;
  Fd wire_;
  Learned learned_;
  std::mutex mutex_;
  std::condition_variable came_;
  std::deque<Parcel> waiting_;
};

[[noreturn]] void be_courier(const Network& network, ByteCounters& counters, Fd wire,
                             unsigned parallel, pid_t parent) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  if (::getppid() != parent) ::_exit(1);  // died before PDEATHSIG was set
  ::signal(SIGPIPE, SIG_IGN);             // a reader that is gone is an error of one task
  Office office(network, counters, std::move(wire));
  prepare_http();
  office.serve(parallel);
  ::_exit(0);
}

}  // namespace

Result<void> CourierAnswer::result() const {
  if (!failed) return {};
  Error error(static_cast<Code>(code), text);
  if (!hint.empty()) return std::move(error).hint(hint);
  return error;
}

Result<std::shared_ptr<ByteCounters>> ByteCounters::create() {
  void* memory = ::mmap(nullptr, sizeof(ByteCounters), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return Error::system(errno, "map memory");
  return std::shared_ptr<ByteCounters>(new (memory) ByteCounters, [](ByteCounters* counters) {
    ::munmap(counters, sizeof(ByteCounters));
  });
}

Result<Courier> Courier::start(const Network& network, unsigned parallel) {
  std::shared_ptr<ByteCounters> counters = TRY(ByteCounters::create());
  sys::SocketPair pair = TRY(sys::packet_pair());
  const pid_t parent = ::getpid();
  const pid_t child = ::fork();
  if (child < 0) return Error::system(errno, "fork");
  if (child == 0) {
    pair.mine.reset();
    const std::array keep{pair.theirs.get()};
    if (Result<void> confined = enter_network_sandbox(keep); !confined) {
      CourierAnswer answer;
      answer.text = confined.error().text();
      static_cast<void>(sys::send(pair.theirs.get(), json::write(answer)));
      ::_exit(1);
    }
    be_courier(network, *counters, std::move(pair.theirs), parallel, parent);
  }
  return Courier(child, std::move(pair.mine), std::move(counters));
}

Courier::Courier(Courier&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      wire_(std::move(other.wire_)),
      counters_(std::move(other.counters_)),
      last_id_(other.last_id_) {}

Courier::~Courier() {
  if (pid_ < 0) return;
  ::kill(pid_, SIGKILL);
  while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

Result<std::uint64_t> Courier::send(CourierTask task, const Fd& fd) {
  task.id = ++last_id_;
  TRY(sys::send(wire_.get(), json::write(task), fd.get()));
  return task.id;
}

Result<CourierAnswer> Courier::receive() {
  std::string buffer(kMessageBytes, '\0');
  const sys::Received got = TRY(sys::receive(wire_.get(), buffer));
  if (got.bytes == 0) return Error(Code::kInternal, "the network process died");
  CourierAnswer answer =
      TRY(json::read<CourierAnswer>(std::string_view(buffer).substr(0, got.bytes), "answer"));
  // Foreign words: nothing of them may play with a terminal.
  answer.text = printable(answer.text);
  answer.hint = printable(answer.hint);
  if (answer.id == 0) return Error(Code::kSystem, "confine the network process: " + answer.text);
  return answer;
}

}  // namespace vrun::images
