#include "vm/vmm/fs.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <span>
#include <utility>

#include <sys/stat.h>
#include <unistd.h>

#include "base/text.hpp"

namespace vrun::vmm {
namespace {

struct Config {
  char tag[36] = {};
  std::uint32_t request_queues = 1;
};

}  // namespace

Result<std::unique_ptr<Fs>> Fs::create(std::string tag, Fd root, Fd links,
                                       const FsOptions& options) {
  if (tag.empty() || tag.size() > sizeof Config{}.tag)
    return Error(Code::kInvalid, "share " + quote(tag) + ": its name must have from 1 to 36 bytes");
  if (::fchdir(links.get()) != 0) return Error::system(errno, "enter /proc/self/fd");
  ::umask(0);  // the guest's kernel has applied its own
  std::unique_ptr<Worker> worker = TRY(Worker::create("fs"));
  return std::unique_ptr<Fs>(
      new Fs(std::move(worker), std::move(tag), std::move(root), std::move(links), options));
}

Fs::Fs(std::unique_ptr<Worker> worker, std::string tag, Fd root, Fd links, const FsOptions& options)
    : VirtioDevice(std::move(worker)),
      tag_(std::move(tag)),
      server_(std::move(root), std::move(links), options) {}

void Fs::read_config(std::uint64_t offset, std::span<std::uint8_t> bytes) {
  Config config;
  std::memcpy(config.tag, tag_.data(), tag_.size());
  if (offset >= sizeof config) return;
  const auto rest = std::as_bytes(std::span(&config, 1)).subspan(offset);
  std::memcpy(bytes.data(), rest.data(), std::min(bytes.size(), rest.size()));
}

void Fs::activate(std::uint64_t, std::vector<std::unique_ptr<Virtqueue>> queues,
                  DriverLink& driver) {
  queues_ = std::move(queues);
  driver_ = &driver;
  for (std::uint16_t i = 0; i < queues_.size(); ++i)
    rung(i);
}

void Fs::reset() {
  queues_.clear();
  server_.reset();
}

Result<void> Fs::save(StateWriter& to) const {
  to.put_text(tag_);
  return server_.save(to);
}

Result<void> Fs::load(StateReader& from) {
  if (TRY(from.get_text(sizeof Config{}.tag)) != tag_)
    return Error(Code::kInvalid, "the saved machine has other shares");
  return server_.load(from);
}

void Fs::rung(std::uint16_t index) {
  if (index >= queues_.size() || !queues_[index]) return;
  Virtqueue& queue = *queues_[index];
  Chain chain;
  do {
    queue.disable_notify();
    while (queue.pop(chain)) {
      queue.push(chain.head, server_.serve(chain));
      if (queue.needs_interrupt()) driver_->queue_interrupt(index);
    }
  } while (queue.enable_notify() && !queue.broken());
  if (queue.broken()) driver_->needs_reset("fs: " + queue.fault());
}

}  // namespace vrun::vmm
