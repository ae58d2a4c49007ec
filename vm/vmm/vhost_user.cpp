#include "vm/vmm/vhost_user.hpp"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <utility>

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/sys.hpp"

namespace vrun::vmm {
namespace {

// The protocol's numbers.
enum Request : std::uint32_t {
  kGetFeatures = 1,
  kSetFeatures = 2,
  kSetOwner = 3,
  kResetOwner = 4,
  kSetMemory = 5,
  kSetQueueSize = 8,
  kSetQueueAddresses = 9,
  kSetQueueBase = 10,
  kGetQueueBase = 11,
  kSetQueueKick = 12,
  kSetQueueCall = 13,
  kSetQueueError = 14,
  kGetProtocolFeatures = 15,
  kSetProtocolFeatures = 16,
  kGetQueueCount = 17,
  kEnableQueue = 18,
  kGetConfig = 24,
};
constexpr std::uint32_t kVersion = 1, kReply = 1U << 2U, kWantsReply = 1U << 3U;
constexpr std::uint64_t kFeatureProtocol = 1ull << 30;
constexpr std::uint64_t kProtocolReplyAck = 1ull << 3, kProtocolConfig = 1ull << 9;
constexpr std::uint64_t kNoFile = 1U << 8U;
constexpr std::size_t kMostContent = 4096, kMostFiles = 8, kMostQueueSize = 32768;

struct Header {
  std::uint32_t request, flags, size;
};
struct QueueState {
  std::uint32_t index, number;
};
struct QueueAddresses {
  std::uint32_t index, flags;
  std::uint64_t descriptors, used, available, log;
};
struct MemoryTable {
  std::uint32_t count, padding;
};
struct MemoryPart {
  std::uint64_t guest, size, user, offset;
};
struct ConfigPart {
  std::uint32_t offset, size, flags;
};

Error senseless(std::uint32_t request) {
  return Error(Code::kInvalid,
               "vhost-user: message " + std::to_string(request) + " makes no sense");
}

template <typename T>
bool read_content(const std::vector<std::uint8_t>& content, T& value, std::size_t offset = 0) {
  if (content.size() < offset + sizeof value) return false;
  std::memcpy(&value, content.data() + offset, sizeof value);
  return true;
}

template <typename T>
std::span<const std::uint8_t> bytes_of(const T& value) {
  return {reinterpret_cast<const std::uint8_t*>(&value), sizeof value};
}

std::vector<Fd> files_of(msghdr& message) {
  std::vector<Fd> files;
  for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr;
       part = CMSG_NXTHDR(&message, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(part) + i * sizeof fd, sizeof fd);
      files.emplace_back(fd);
    }
  }
  return files;
}

}  // namespace

VhostUser::VhostUser(std::unique_ptr<VirtioDevice> device, Fd socket, std::size_t queues,
                     std::function<void(const std::string&)> complain)
    : device_(std::move(device)),
      socket_(std::move(socket)),
      complain_(std::move(complain)),
      queues_(queues) {
  device_->worker().run([this] {
    device_->worker().watch(socket_.get(), EPOLLIN, [this](std::uint32_t) { ready(); });
  });
}

VhostUser::~VhostUser() {
  device_->worker().run([this] {
    if (socket_) device_->worker().forget(socket_.get());
    for (Queue& queue : queues_)
      if (queue.bell) device_->worker().forget(queue.bell.get());
    deactivate();
  });
}

void VhostUser::queue_interrupt(std::uint16_t queue) {
  if (queue < queues_.size() && queues_[queue].interrupt)
    ::eventfd_write(queues_[queue].interrupt.get(), 1);
}

void VhostUser::needs_reset(const std::string& why) {
  complain_(why);
}

void VhostUser::ready() {
  const Result<void> served = serve();
  if (served) return;
  // That QEMU is gone is how it ends.
  if (served.error().code() != Code::kState) complain_(served.error().text());
  device_->worker().forget(socket_.get());
  deactivate();
  socket_ = Fd();
}

Result<void> VhostUser::serve() {
  std::optional<Message> message = TRY(receive());
  if (!message) return Error(Code::kState, "vhost-user: QEMU is gone");
  TRY(take(*message));
  // Requests with an answer of their own have given it.
  constexpr std::uint32_t kAnswered[] = {kGetFeatures, kGetQueueBase, kGetProtocolFeatures,
                                         kGetQueueCount, kGetConfig};
  if ((message->flags & kWantsReply) == 0 || std::find(std::begin(kAnswered), std::end(kAnswered),
                                                       message->request) != std::end(kAnswered))
    return {};
  return answer(*message, 0);
}

Result<std::optional<VhostUser::Message>> VhostUser::receive() {
  Header header{};
  iovec piece{.iov_base = &header, .iov_len = sizeof header};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kMostFiles)];
  msghdr envelope{};
  envelope.msg_iov = &piece;
  envelope.msg_iovlen = 1;
  envelope.msg_control = control;
  envelope.msg_controllen = sizeof control;
  const ssize_t got = ::recvmsg(socket_.get(), &envelope, MSG_WAITALL | MSG_CMSG_CLOEXEC);
  if (got == 0 || (got < 0 && errno == ECONNRESET)) return std::optional<Message>();
  if (got < 0) return Error::system(errno, "vhost-user: receive");
  Message message;
  message.files = files_of(envelope);
  if (got != sizeof header || (header.flags & 3U) != kVersion || header.size > kMostContent ||
      (envelope.msg_flags & MSG_CTRUNC) != 0)
    return senseless(header.request);
  message.request = header.request;
  message.flags = header.flags;
  message.content.resize(header.size);
  if (header.size > 0 &&
      ::recv(socket_.get(), message.content.data(), header.size, MSG_WAITALL) != header.size)
    return senseless(header.request);
  return std::optional<Message>(std::move(message));
}

Result<void> VhostUser::take(Message& message) {
  QueueState state{};
  switch (message.request) {
    case kGetFeatures:
      return answer(message, device_->features() | kFeatureIndirect | kFeatureEventIndex |
                                 kFeatureVersion1 | kFeatureProtocol);
    case kSetFeatures:
      if (!read_content(message.content, features_)) return senseless(message.request);
      return {};
    case kGetProtocolFeatures:
      return answer(message, kProtocolReplyAck | kProtocolConfig);
    case kGetQueueCount:
      return answer(message, queues_.size());
    case kSetOwner:
    case kResetOwner:
    case kSetProtocolFeatures:
    case kSetQueueError:
      return {};
    case kSetMemory:
      return take_memory(message);
    case kSetQueueAddresses:
      return take_addresses(message);
    case kSetQueueKick:
      return take_bell(message, false);
    case kSetQueueCall:
      return take_bell(message, true);
    case kGetQueueBase:
      return stop_queue(message);
    case kGetConfig:
      return tell_config(message);
    case kSetQueueSize:
      if (!read_content(message.content, state) || state.number > kMostQueueSize ||
          !std::has_single_bit(state.number))
        return senseless(message.request);
      TRY(queue_of(state.index))->setup.size = static_cast<std::uint16_t>(state.number);
      return {};
    case kSetQueueBase:
      if (!read_content(message.content, state)) return senseless(message.request);
      TRY(queue_of(state.index))->begin = static_cast<std::uint16_t>(state.number);
      return {};
    case kEnableQueue:
      if (!read_content(message.content, state)) return senseless(message.request);
      TRY(queue_of(state.index))->enabled = state.number == 1;
      activate_if_complete();
      return {};
    default:
      return Error(Code::kUnsupported,
                   "vhost-user: message " + std::to_string(message.request) + " is not known");
  }
}

// One file holds all of it (memory-backend-memfd): its parts become the regions.
Result<void> VhostUser::take_memory(const Message& message) {
  MemoryTable table{};
  if (!read_content(message.content, table) || table.count == 0 || table.count > kMostFiles ||
      message.files.size() != table.count)
    return senseless(message.request);
  const struct stat file = TRY(sys::stat(message.files[0].get()));
  std::vector<GuestMemory::Region> regions;
  std::vector<Window> windows;
  for (std::uint32_t i = 0; i < table.count; ++i) {
    MemoryPart part{};
    const struct stat its = TRY(sys::stat(message.files[i].get()));
    if (!read_content(message.content, part, sizeof table + i * sizeof part) ||
        its.st_ino != file.st_ino || its.st_dev != file.st_dev)
      return senseless(message.request);
    regions.push_back({.guest = part.guest, .offset = part.offset, .size = part.size});
    windows.push_back({.user = part.user, .size = part.size, .guest = part.guest});
  }
  deactivate();
  memory_.reset();
  memory_.emplace(TRY(GuestMemory::map_regions(
      message.files[0], static_cast<std::uint64_t>(file.st_size), std::move(regions))));
  windows_ = std::move(windows);
  activate_if_complete();
  return {};
}

Result<void> VhostUser::take_addresses(const Message& message) {
  QueueAddresses addresses{};
  if (!read_content(message.content, addresses)) return senseless(message.request);
  const auto guest = [&](std::uint64_t user) -> std::optional<std::uint64_t> {
    for (const Window& window : windows_)
      if (user >= window.user && user - window.user < window.size)
        return window.guest + (user - window.user);
    return std::nullopt;
  };
  QueueSetup& setup = TRY(queue_of(addresses.index))->setup;
  const auto descriptors = guest(addresses.descriptors), available = guest(addresses.available),
             used = guest(addresses.used);
  if (!descriptors || !available || !used) return senseless(message.request);
  setup.descriptors = *descriptors;
  setup.available = *available;
  setup.used = *used;
  return {};
}

Result<void> VhostUser::take_bell(Message& message, bool interrupt) {
  std::uint64_t value = 0;
  if (!read_content(message.content, value)) return senseless(message.request);
  Queue* const queue = TRY(queue_of(value & 0xff));
  const auto index = static_cast<std::uint16_t>(value & 0xff);
  if ((value & kNoFile) == 0 && message.files.size() != 1) return senseless(message.request);
  Fd file = (value & kNoFile) != 0 ? Fd() : std::move(message.files[0]);
  if (interrupt) {
    queue->interrupt = std::move(file);
    return {};
  }
  Worker& worker = device_->worker();
  if (queue->bell) worker.forget(queue->bell.get());
  queue->bell = std::move(file);
  if (queue->bell) {
    worker.watch(queue->bell.get(), EPOLLIN, [this, index](std::uint32_t) {
      eventfd_t rings = 0;
      ::eventfd_read(queues_[index].bell.get(), &rings);
      if (active_) device_->rung(index);
    });
  }
  // Without the protocol's features there is no message that enables a queue.
  if ((features_ & kFeatureProtocol) == 0) queue->enabled = true;
  activate_if_complete();
  return {};
}

Result<void> VhostUser::stop_queue(const Message& message) {
  QueueState state{};
  if (!read_content(message.content, state)) return senseless(message.request);
  Queue* const queue = TRY(queue_of(state.index));
  deactivate();
  queue->enabled = false;
  state.number = queue->begin;
  return answer(message, bytes_of(state));
}

Result<void> VhostUser::tell_config(const Message& message) {
  ConfigPart part{};
  if (!read_content(message.content, part) ||
      message.content.size() != sizeof part + std::size_t{part.size})
    return senseless(message.request);
  std::vector<std::uint8_t> content = message.content;
  const auto values = std::span(content).subspan(sizeof part);
  std::fill(values.begin(), values.end(), std::uint8_t{0});
  device_->read_config(part.offset, values);
  return answer(message, content);
}

Result<void> VhostUser::answer(const Message& message, std::span<const std::uint8_t> content) {
  const Header header{.request = message.request,
                      .flags = kVersion | kReply,
                      .size = static_cast<std::uint32_t>(content.size())};
  std::vector<std::uint8_t> bytes(sizeof header + content.size());
  std::memcpy(bytes.data(), &header, sizeof header);
  std::memcpy(bytes.data() + sizeof header, content.data(), content.size());
  const ssize_t sent = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
  if (sent == static_cast<ssize_t>(bytes.size())) return {};
  return Error::system(sent < 0 ? errno : EIO, "vhost-user: send");
}

Result<void> VhostUser::answer(const Message& message, std::uint64_t value) {
  return answer(message, bytes_of(value));
}

Result<VhostUser::Queue*> VhostUser::queue_of(std::uint64_t index) {
  if (index < queues_.size()) return &queues_[index];
  return Error(Code::kInvalid, "vhost-user: there is no queue " + std::to_string(index));
}

void VhostUser::activate_if_complete() {
  const bool complete =
      memory_ && std::all_of(queues_.begin(), queues_.end(), [](const Queue& one) {
        return one.enabled && one.bell && one.setup.size > 0;
      });
  if (active_ || !complete) return;
  std::vector<std::unique_ptr<Virtqueue>> ready(device_->queue_sizes().size());
  for (std::size_t i = 0; i < queues_.size(); ++i) {
    Queue& queue = queues_[i];
    queue.setup.event_index = (features_ & kFeatureEventIndex) != 0;
    ready[i] = std::make_unique<Virtqueue>(*memory_, queue.setup);
    // All requests before `begin` are done.
    ready[i]->continue_at(queue.begin, queue.begin);
    queue.active = ready[i].get();
  }
  active_ = true;
  device_->activate(features_, std::move(ready), *this);
}

void VhostUser::deactivate() {
  if (!active_) return;
  active_ = false;
  for (Queue& queue : queues_)
    queue.begin = std::exchange(queue.active, nullptr)->next_available();
  device_->reset();
}

}  // namespace vrun::vmm
