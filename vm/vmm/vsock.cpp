#include "vm/vmm/vsock.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <span>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

namespace vrun::vmm {
namespace {

constexpr std::uint64_t kHostCid = 2, kGuestCid = 3;  // of the guest's only host; any would do
constexpr std::uint16_t kStream = 1;
constexpr std::uint16_t kRx = 0, kTx = 1;
constexpr std::size_t kMostWaiting = 1024;
constexpr std::uint32_t kMostPacket = 64 << 10;
constexpr std::uint32_t kEndReceive = 1, kEndSend = 2;  // VIRTIO_VSOCK_SHUTDOWN_*

}  // namespace

Result<std::unique_ptr<Vsock>> Vsock::create(Fd listener, std::uint32_t port) {
  std::unique_ptr<Worker> worker = TRY(Worker::create("vsock"));
  return std::unique_ptr<Vsock>(new Vsock(std::move(worker), std::move(listener), port));
}

Vsock::Vsock(std::unique_ptr<Worker> worker, Fd listener, std::uint32_t port)
    : VirtioDevice(std::move(worker)), listener_(std::move(listener)), port_(port) {}

void Vsock::read_config(std::uint64_t offset, std::span<std::uint8_t> bytes) {
  const std::uint64_t cid = kGuestCid;
  const auto all = std::as_bytes(std::span(&cid, 1));
  if (offset >= all.size()) return;
  std::memcpy(bytes.data(), all.data() + offset, std::min(bytes.size(), all.size() - offset));
}

void Vsock::activate(std::uint64_t, std::vector<std::unique_ptr<Virtqueue>> queues,
                     DriverLink& driver) {
  rx_ = std::move(queues[kRx]);
  tx_ = std::move(queues[kTx]);
  driver_ = &driver;
  if (listener_) worker().watch(listener_.get(), EPOLLIN, [this](std::uint32_t) { accept(); });
  for (Fd& socket : std::exchange(early_, {}))
    begin(std::move(socket));
  rung(kTx);
}

void Vsock::reset() {
  if (driver_ != nullptr && listener_) worker().forget(listener_.get());
  while (!streams_.empty())
    drop(streams_.begin()->first, false);
  waiting_.clear();
  rx_.reset();
  tx_.reset();
  driver_ = nullptr;
}

Result<void> Vsock::save(StateWriter& to) const {
  to.put(next_port_);
  std::vector<std::array<std::uint32_t, 2>> lost;
  for (const auto& [port, stream] : streams_)
    lost.push_back({port, port_});
  for (const Control& control : waiting_) {
    if (control.op == VIRTIO_VSOCK_OP_RST) lost.push_back({control.port, control.peer_port});
  }
  to.put(static_cast<std::uint32_t>(lost.size()));
  for (const auto& ports : lost)
    to.put(ports);
  return {};
}

Result<void> Vsock::load(StateReader& from) {
  next_port_ = TRY(from.get<std::uint32_t>());
  const auto count = TRY(from.get<std::uint32_t>());
  if (count > kMostWaiting + kMostStreams)
    return Error(Code::kInvalid, "the saved machine has more streams than one can have");
  for (std::uint32_t i = 0; i < count; ++i) {
    const auto ports = TRY((from.get<std::array<std::uint32_t, 2>>()));
    waiting_.push_back({.port = ports[0], .peer_port = ports[1], .op = VIRTIO_VSOCK_OP_RST});
  }
  return {};
}

void Vsock::accept() {
  Fd socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (!socket) return;
  begin(std::move(socket));
  feed_guest();
}

Result<Fd> Vsock::connect() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
    return Error::system(errno, "make a socket pair");
  Fd mine(ends[0]), theirs(ends[1]);
  ::fcntl(theirs.get(), F_SETFL, O_NONBLOCK);
  worker().run([&] {
    if (driver_ == nullptr) {
      early_.push_back(std::move(theirs));
      return;
    }
    begin(std::move(theirs));
    feed_guest();
  });
  return mine;
}

void Vsock::begin(Fd socket) {
  if (streams_.size() >= kMostStreams) return;  // callers see it closed
  while (streams_.contains(next_port_) || next_port_ < (1u << 30))
    next_port_ = next_port_ == ~0u ? 1u << 30 : next_port_ + 1;
  const std::uint32_t port = next_port_++;
  Stream stream;
  stream.socket = std::move(socket);
  stream.port = port;
  streams_.emplace(port, std::move(stream));
  waiting_.push_back({.port = port, .peer_port = port_, .op = VIRTIO_VSOCK_OP_REQUEST});
}

void Vsock::rung(std::uint16_t queue) {
  if (driver_ == nullptr) return;
  if (queue == kTx) serve_guest();
  feed_guest();
  for (const Virtqueue* each : {rx_.get(), tx_.get()}) {
    if (each != nullptr && each->broken()) driver_->needs_reset("vsock: " + each->fault());
  }
}

void Vsock::serve_guest() {
  if (!tx_) return;
  Chain chain;
  do {
    while (tx_->pop(chain)) {
      virtio_vsock_hdr header;
      if (read_value(chain.readable, 0, header)) take(header, chain);
      tx_->push(chain.head, 0);
    }
    if (tx_->needs_interrupt()) driver_->queue_interrupt(kTx);
  } while (tx_->enable_notify() && !tx_->broken());
}

void Vsock::take(const virtio_vsock_hdr& header, const Chain& chain) {
  const auto found = streams_.find(header.dst_port);
  const bool ours = header.type == kStream && header.dst_cid == kHostCid &&
                    header.src_port == port_ && found != streams_.end();
  if (!ours) {
    if (header.op != VIRTIO_VSOCK_OP_RST)
      tell({.port = header.dst_port, .peer_port = header.src_port, .op = VIRTIO_VSOCK_OP_RST});
    return;
  }
  Stream& stream = found->second;
  stream.peer_room = header.buf_alloc;
  stream.peer_taken = header.fwd_cnt;
  switch (header.op) {
    case VIRTIO_VSOCK_OP_RESPONSE:
      if (stream.connected) return drop(stream.port, true);
      stream.connected = true;
      return watch(stream);
    case VIRTIO_VSOCK_OP_RST:
      return drop(stream.port, false);
    case VIRTIO_VSOCK_OP_SHUTDOWN:
      if ((header.flags & kEndSend) != 0) stream.guest_ended = true;
      if ((header.flags & kEndReceive) != 0) stream.host_ended = true;  // nobody reads it
      return write_out(stream);
    case VIRTIO_VSOCK_OP_RW:
      return take_content(stream, header, chain);
    case VIRTIO_VSOCK_OP_CREDIT_REQUEST:
      return tell_room(stream);
    case VIRTIO_VSOCK_OP_CREDIT_UPDATE:
      return watch(stream);
    default:
      return drop(stream.port, true);
  }
}

void Vsock::take_content(Stream& stream, const virtio_vsock_hdr& header, const Chain& chain) {
  const std::uint64_t there = chain.readable_bytes - sizeof header;
  const std::size_t before = stream.to_host.size();
  if (!stream.connected || header.len > there || before + header.len > kBuffer)
    return drop(stream.port, true);
  stream.to_host.resize(before + header.len);
  copy_out(chain.readable, sizeof header,
           std::as_writable_bytes(std::span(stream.to_host)).subspan(before));
  write_out(stream);
}

void Vsock::write_out(Stream& stream) {
  while (!stream.to_host.empty()) {
    const ssize_t put = ::send(stream.socket.get(), stream.to_host.data(), stream.to_host.size(),
                               MSG_NOSIGNAL | MSG_DONTWAIT);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0 && errno == EAGAIN) break;
    if (put < 0) return drop(stream.port, true);
    stream.to_host.erase(0, static_cast<std::size_t>(put));
    stream.received += static_cast<std::uint32_t>(put);
  }
  if (stream.guest_ended && stream.to_host.empty()) {
    // Both are done: the guest waits for this word before it forgets the stream.
    if (stream.host_ended) return drop(stream.port, true);
    ::shutdown(stream.socket.get(), SHUT_WR);
  }
  // Half of the room is new: tell the guest before it stops for want of credit.
  if (stream.received - stream.told >= kBuffer / 2) tell_room(stream);
  watch(stream);
}

// One word at a time: it says how much there is when it goes.
void Vsock::tell_room(Stream& stream) {
  if (std::exchange(stream.tells_room, true)) return;
  waiting_.push_back(
      {.port = stream.port, .peer_port = port_, .op = VIRTIO_VSOCK_OP_CREDIT_UPDATE});
}

void Vsock::watch(const Stream& stream) {
  std::uint32_t events = 0;
  if (stream.connected && !stream.host_ended && stream.credit() > 0) events |= EPOLLIN;
  if (!stream.to_host.empty()) events |= EPOLLOUT;
  // Level-triggered: what nobody may take now is not waited for.
  worker().forget(stream.socket.get());
  if (events == 0) return;
  worker().watch(stream.socket.get(), events,
                 [this, port = stream.port](std::uint32_t ready) { socket_ready(port, ready); });
}

void Vsock::socket_ready(std::uint32_t port, std::uint32_t events) {
  const auto found = streams_.find(port);
  if (found == streams_.end()) return;
  if ((events & EPOLLOUT) != 0) write_out(found->second);
  feed_guest();
}

virtio_vsock_hdr Vsock::header_for(const Control& control) const {
  virtio_vsock_hdr header{};
  header.src_cid = kHostCid;
  header.dst_cid = kGuestCid;
  header.src_port = control.port;
  header.dst_port = control.peer_port;
  header.type = kStream;
  header.op = control.op;
  header.flags = control.flags;
  header.buf_alloc = kBuffer;
  const auto found = streams_.find(control.port);
  header.fwd_cnt = found == streams_.end() ? 0 : found->second.received;
  return header;
}

void Vsock::feed_guest() {
  if (!rx_) return;
  Chain chain;
  while (!waiting_.empty() && rx_->pop(chain)) {
    const Control control = waiting_.front();
    waiting_.pop_front();
    const virtio_vsock_hdr header = header_for(control);
    write_value(chain.writable, 0, header);
    rx_->push(chain.head, sizeof header);
    if (const auto found = streams_.find(control.port); found != streams_.end()) {
      found->second.told = header.fwd_cnt;
      if (control.op == VIRTIO_VSOCK_OP_CREDIT_UPDATE) found->second.tells_room = false;
    }
  }
  std::vector<std::uint32_t> ports;
  for (const auto& [port, stream] : streams_) {
    if (stream.connected && !stream.host_ended) ports.push_back(port);
  }
  for (const std::uint32_t port : ports) {
    const auto found = streams_.find(port);
    if (found == streams_.end()) continue;
    while (feed(found->second)) {
    }
  }
  interrupt_if_needed();
}

// Whether there may be more to send for this stream.
bool Vsock::feed(Stream& stream) {
  const std::uint32_t credit = stream.credit();
  if (credit == 0 || credit > stream.peer_room) {  // none, or a guest that counts backwards
    watch(stream);
    return false;
  }
  Chain chain;
  if (!rx_->pop(chain)) {
    worker().forget(stream.socket.get());  // until the guest gives room: rung(kRx)
    return false;
  }
  virtio_vsock_hdr header =
      header_for({.port = stream.port, .peer_port = port_, .op = VIRTIO_VSOCK_OP_RW, .flags = 0});
  const std::uint64_t room =
      chain.writable_bytes > sizeof header ? chain.writable_bytes - sizeof header : 0;
  const std::vector<iovec> to =
      part_of(chain.writable, sizeof header, std::min<std::uint64_t>({room, credit, kMostPacket}));
  const ssize_t got =
      to.empty() ? -1 : ::readv(stream.socket.get(), to.data(), static_cast<int>(to.size()));
  if (got < 0) {
    const int error = to.empty() ? EAGAIN : errno;
    rx_->unpop();
    if (error == EAGAIN || error == EINTR)
      watch(stream);
    else
      drop(stream.port, true);
    return false;
  }
  if (got == 0) {
    header.op = VIRTIO_VSOCK_OP_SHUTDOWN;
    header.flags = kEndSend;
    stream.host_ended = true;
  }
  header.len = static_cast<std::uint32_t>(got);
  write_value(chain.writable, 0, header);
  rx_->push(chain.head, static_cast<std::uint32_t>(sizeof header) + header.len);
  stream.sent += header.len;
  stream.told = header.fwd_cnt;
  if (got == 0) write_out(stream);  // maybe the last word
  return got > 0;
}

void Vsock::drop(std::uint32_t port, bool tell_guest) {
  const auto found = streams_.find(port);
  if (found == streams_.end()) return;
  worker().forget(found->second.socket.get());
  streams_.erase(found);
  if (tell_guest) tell({.port = port, .peer_port = port_, .op = VIRTIO_VSOCK_OP_RST});
}

void Vsock::tell(const Control& control) {
  if (waiting_.size() < kMostWaiting) waiting_.push_back(control);
}

void Vsock::interrupt_if_needed() {
  if (rx_->needs_interrupt()) driver_->queue_interrupt(kRx);
}

}  // namespace vrun::vmm
