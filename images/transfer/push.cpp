#include "images/transfer/push.hpp"

#include <algorithm>
#include <array>
#include <vector>

#include <fcntl.h>

#include "base/sys.hpp"
#include "base/text.hpp"

namespace vrun::images {
namespace {

// One blob on its way: asked for, then sent unless it is there.
struct Job {
  oci::Descriptor blob;
  std::uint64_t task = 0;
  bool asked = false;
  bool done = false;
};

class Blobs {
 public:
  Blobs(const Fd& layout, const PushOrder& order, Desk& desk, Progress& progress)
      : layout_(layout), order_(order), desk_(desk), progress_(progress) {}

  Result<void> send(const oci::Manifest& manifest) {
    list(manifest);
    while (!std::all_of(jobs_.begin(), jobs_.end(), [](const Job& job) { return job.done; })) {
      TRY(start_more());
      TRY(wait());
      progress_.tick();
    }
    progress_.end();
    return {};
  }

 private:
  void list(const oci::Manifest& manifest) {
    std::vector<oci::Descriptor> blobs = manifest.layers;
    blobs.push_back(manifest.config);
    std::vector<Part> parts;
    for (const oci::Descriptor& blob : blobs) {
      const bool again = std::any_of(jobs_.begin(), jobs_.end(), [&](const Job& job) {
        return job.blob.digest == blob.digest;
      });
      if (again) continue;
      jobs_.emplace_back().blob = blob;
      Part part;
      part.id = blob.digest.str();
      part.name = blob.digest.hex.substr(0, 12);
      part.total = blob.size;
      part.slot = parts.size();
      parts.push_back(std::move(part));
    }
    progress_.begin(std::move(parts), &desk_.courier().counters());
  }

  Result<void> start_more() {
    for (Job& job : jobs_) {
      if (busy_ >= order_.parallel) break;
      if (job.done || job.task != 0) continue;
      CourierTask task = task_for(job, TaskKind::kHasBlob);
      const Fd none = TRY(sys::open(At::cwd(), "/dev/null", O_RDONLY));
      job.task = TRY(desk_.courier().send(std::move(task), none));
      ++busy_;
    }
    return {};
  }

  CourierTask task_for(const Job& job, TaskKind kind) const {
    CourierTask task;
    task.kind = kind;
    task.repository = order_.target.path;
    task.digest = job.blob.digest.str();
    task.size = job.blob.size;
    task.slot = static_cast<std::uint64_t>(&job - jobs_.data());
    return task;
  }

  Result<void> wait() {
    constexpr int kTurn = 100;  // ms: progress
    std::array<pollfd, 2> fds{pollfd{desk_.courier().wire().get(), POLLIN, 0},
                              pollfd{desk_.interrupts().fd().get(), POLLIN, 0}};
    TRY(sys::poll(fds, kTurn));
    if (fds[1].revents != 0) return desk_.interrupts().error();
    if (fds[0].revents == 0) return {};
    const CourierAnswer answer = TRY(desk_.courier().receive());
    const auto job = std::find_if(jobs_.begin(), jobs_.end(),
                                  [&](const Job& one) { return one.task == answer.id; });
    if (job == jobs_.end()) return Error(Code::kInternal, "an answer that nobody asked for");
    TRY(answer.result());
    return take(*job, answer);
  }

  Result<void> take(Job& job, const CourierAnswer& answer) {
    const auto part = static_cast<std::size_t>(&job - jobs_.data());
    const bool was_question = !std::exchange(job.asked, true);
    if (was_question && !answer.found) return upload(job, part);
    job.done = true;
    --busy_;
    progress_.state(part, was_question     ? PartState::kThere
                          : answer.mounted ? PartState::kMounted
                                           : PartState::kDone);
    return {};
  }

  Result<void> upload(Job& job, std::size_t part) {
    Result<Fd> file = open_blob(layout_, job.blob);
    if (!file) {
      return std::move(file)
          .error()
          .during("blob " + job.blob.digest.str())
          .hint(
              "the store has this layer unpacked only, in another compression; pull or load the "
              "image again");
    }
    CourierTask task = task_for(job, TaskKind::kUpload);
    if (order_.seen_in) task.mount_from = order_.seen_in(job.blob.digest);
    job.task = TRY(desk_.courier().send(std::move(task), *file));
    progress_.state(part, PartState::kMoving);
    return {};
  }

  const Fd& layout_;
  const PushOrder& order_;
  Desk& desk_;
  Progress& progress_;
  std::vector<Job> jobs_;
  std::size_t busy_ = 0;
};

}  // namespace

Result<void> push(const PushOrder& order, Desk& desk, Progress& progress) {
  const oci::Descriptor& wanted = order.image.descriptor;
  const Fd layout = TRY(sys::open_dir(At::cwd(), order.image.layout_dir));
  const std::string bytes = TRY(read_blob(layout, wanted, oci::kMaxManifestBytes));
  TRY(Blobs(layout, order, desk, progress).send(order.image.manifest));

  const Fd memory = TRY(sys::memfd("manifest"));
  TRY(sys::write_all(memory.get(), bytes));
  CourierTask task;
  task.kind = TaskKind::kPutManifest;
  task.repository = order.target.path;
  task.reference = order.target.tag.empty() ? wanted.digest.str() : order.target.tag;
  task.media_type = wanted.media_type;
  task.size = bytes.size();
  const CourierAnswer answer = TRY(desk.ask(std::move(task), memory));
  TRY(answer.result());
  if (answer.digest.empty() || answer.digest == wanted.digest.str()) return {};
  return Error(Code::kInvalid, "the registry says that it has " + answer.digest + ", sent was " +
                                   wanted.digest.str());
}

}  // namespace vrun::images
