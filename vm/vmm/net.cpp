#include "vm/vmm/net.hpp"

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <span>

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

namespace vrun::vmm {
namespace {

constexpr int kFramesATurn = 64;

constexpr std::uint64_t bit(int feature) {
  return 1ull << feature;
}

// What the driver takes of a frame's finishing upon itself, for the host's kernel.
unsigned offloads_of(std::uint64_t features) {
  unsigned offloads = 0;
  if ((features & bit(VIRTIO_NET_F_GUEST_CSUM)) == 0) return 0;  // the others build upon it
  offloads |= TUN_F_CSUM;
  if ((features & bit(VIRTIO_NET_F_GUEST_TSO4)) != 0) offloads |= TUN_F_TSO4;
  if ((features & bit(VIRTIO_NET_F_GUEST_TSO6)) != 0) offloads |= TUN_F_TSO6;
  if ((features & bit(VIRTIO_NET_F_GUEST_ECN)) != 0) offloads |= TUN_F_TSO_ECN;
  return offloads;
}

Result<void> set_offloads(const Fd& tap, unsigned offloads) {
  if (::ioctl(tap.get(), TUNSETOFFLOAD, offloads) == 0) return {};
  return Error::system(errno, "set the tap's offloads");
}

Result<void> check_tap(const Fd& tap) {
  ifreq about{};
  if (::ioctl(tap.get(), TUNGETIFF, &about) != 0)
    return Error::system(errno, "look at the tap of a network card");
  constexpr short kWanted = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
  if ((about.ifr_flags & kWanted) == kWanted) return {};
  return Error(Code::kInvalid,
               "the tap of a network card has no IFF_TAP, IFF_NO_PI and IFF_VNET_HDR");
}

}  // namespace

Result<std::unique_ptr<Net>> Net::create(Fd tap, const NetCard& card) {
  TRY(check_tap(tap));
  int header = kNetHeader;
  if (::ioctl(tap.get(), TUNSETVNETHDRSZ, &header) != 0)
    return Error::system(errno, "set the tap's header");
  TRY(set_offloads(tap, 0));
  const int flags = ::fcntl(tap.get(), F_GETFL);
  if (flags < 0 || ::fcntl(tap.get(), F_SETFL, flags | O_NONBLOCK) != 0)
    return Error::system(errno, "make the tap non-blocking");
  std::unique_ptr<Worker> worker = TRY(Worker::create("net"));
  return std::unique_ptr<Net>(new Net(std::move(worker), std::move(tap), card));
}

Net::Net(std::unique_ptr<Worker> worker, Fd tap, const NetCard& card)
    : VirtioDevice(std::move(worker)),
      tap_(std::move(tap)),
      card_(card),
      frame_(kNetHeader + kMostFrame) {}

std::uint64_t Net::features() const {
  std::uint64_t bits = 0;
  for (const int feature :
       {VIRTIO_NET_F_CSUM, VIRTIO_NET_F_GUEST_CSUM, VIRTIO_NET_F_MTU, VIRTIO_NET_F_MAC,
        VIRTIO_NET_F_GUEST_TSO4, VIRTIO_NET_F_GUEST_TSO6, VIRTIO_NET_F_GUEST_ECN,
        VIRTIO_NET_F_HOST_TSO4, VIRTIO_NET_F_HOST_TSO6, VIRTIO_NET_F_HOST_ECN,
        VIRTIO_NET_F_MRG_RXBUF, VIRTIO_NET_F_STATUS})
    bits |= bit(feature);
  return bits;
}

void Net::read_config(std::uint64_t offset, std::span<std::uint8_t> bytes) {
  virtio_net_config config{};
  std::copy(card_.mac.begin(), card_.mac.end(), config.mac);
  config.status = VIRTIO_NET_S_LINK_UP;
  config.max_virtqueue_pairs = 1;
  config.mtu = card_.mtu;
  if (offset >= sizeof config) return;
  const auto all = std::as_bytes(std::span(&config, 1)).subspan(offset);
  std::memcpy(bytes.data(), all.data(), std::min(bytes.size(), all.size()));
}

void Net::activate(std::uint64_t features, std::vector<std::unique_ptr<Virtqueue>> queues,
                   DriverLink& driver) {
  features_ = features;
  receive_ = std::move(queues[kReceive]);
  send_ = std::move(queues[kSend]);
  driver_ = &driver;
  if (Result<void> set = set_offloads(tap_, offloads_of(features)); !set)
    return give_up(set.error().text());
  rung(kSend);  // the driver may have been quick
  watch_tap();
}

void Net::reset() {
  receive_.reset();
  send_.reset();
  frame_bytes_ = 0;
  wants_room_ = tap_is_full_ = false;
  worker().after(0, nullptr);  // no turn is owed any more
  watch_tap();
}

void Net::rung(std::uint16_t queue) {
  if (queue == kSend) return send();
  if (!wants_room_) return;
  wants_room_ = false;
  receive();
}

// A frame is looked for only while it could go somewhere: the host keeps, and drops, the rest.
void Net::watch_tap() {
  std::uint32_t wanted = 0;
  if (receive_ && !wants_room_) wanted |= EPOLLIN;
  if (send_ && tap_is_full_) wanted |= EPOLLOUT;
  if (wanted == watched_) return;
  if (wanted == 0) {
    worker().forget(tap_.get());  // with an empty mask there would still be EPOLLERR
  } else if (watched_ != 0) {
    worker().change(tap_.get(), wanted);
  } else {
    worker().watch(tap_.get(), wanted, [this](std::uint32_t events) {
      if ((events & EPOLLOUT) != 0) {
        tap_is_full_ = false;
        send();
      }
      // An error is read, too, and lets go of the tap.
      if ((events & (EPOLLIN | EPOLLERR | EPOLLHUP)) != 0) receive();
    });
  }
  watched_ = wanted;
}

// One interrupt for all of a turn.
void Net::tell_driver(std::uint16_t queue, std::uint16_t used_before) {
  const std::unique_ptr<Virtqueue>& served = queue == kReceive ? receive_ : send_;
  if (served && served->next_used() != used_before && served->needs_interrupt())
    driver_->queue_interrupt(queue);
}

void Net::give_up(const std::string& why) {
  driver_->needs_reset("net: " + why);
  receive_.reset();
  send_.reset();
  watch_tap();
}

void Net::receive() {
  if (!receive_) return;
  const std::uint16_t used_before = receive_->next_used();
  receive_->disable_notify();
  for (int i = 0; i < kFramesATurn && receive_; ++i) {
    if (frame_bytes_ == 0 && !read_frame()) break;
    if (!deliver_frame()) break;
  }
  tell_driver(kReceive, used_before);
  watch_tap();
}

// False: there is none now.
bool Net::read_frame() {
  const ssize_t got = ::read(tap_.get(), frame_.data(), frame_.size());
  if (got < 0 && errno != EAGAIN && errno != EINTR) give_up("read the tap: " + errno_text(errno));
  if (got < static_cast<ssize_t>(kNetHeader + kEthernetHeader)) return false;
  frame_bytes_ = static_cast<std::size_t>(got);
  return true;
}

// False: it has to wait for buffers.
bool Net::deliver_frame() {
  const Room room = find_room();
  if (room != Room::kEnough) {
    wants_room_ = room == Room::kNotYet;
    return false;
  }
  const auto buffers = static_cast<std::uint16_t>(room_.size());
  std::memcpy(frame_.data() + offsetof(virtio_net_hdr_mrg_rxbuf, num_buffers), &buffers,
              sizeof buffers);
  std::span<const std::byte> rest(frame_.data(), frame_bytes_);
  done_.clear();
  for (const Chain& chain : room_) {
    const std::size_t taken = copy_in(chain.writable, 0, rest);
    rest = rest.subspan(taken);
    done_.push_back({chain.head, static_cast<std::uint32_t>(taken)});
  }
  receive_->push(done_);
  frame_bytes_ = 0;
  if (receive_->broken()) give_up(receive_->fault());
  return receive_ != nullptr;
}

Net::Room Net::broken(const std::string& why) {
  give_up(why);
  return Room::kBroken;
}

// Pops buffers for the frame into room_; all of them, or none.
Net::Room Net::find_room() {
  room_.clear();
  std::uint64_t found = 0;
  const bool merges = has(VIRTIO_NET_F_MRG_RXBUF);
  while (found < frame_bytes_) {
    Chain chain;
    if (!merges && !room_.empty()) return broken("a buffer for frames is smaller than a frame");
    if (!receive_->pop(chain)) {
      if (receive_->broken()) return broken(receive_->fault());
      // The bell is for the buffer after those that there are, so before they go back.
      if (receive_->enable_notify()) continue;
      receive_->unpop(static_cast<std::uint16_t>(room_.size()));
      return Room::kNotYet;
    }
    if (chain.readable_bytes != 0 || chain.writable_bytes < kNetHeader)
      return broken("a buffer for frames has no room for a header");
    found += chain.writable_bytes;
    room_.push_back(std::move(chain));
  }
  return Room::kEnough;
}

void Net::send() {
  if (!send_) return;
  const std::uint16_t used_before = send_->next_used();
  const bool more = send_some();
  tell_driver(kSend, used_before);
  if (send_ && send_->broken()) give_up(send_->fault());
  watch_tap();
  if (more && send_) worker().after(0, [this] { send(); });
}

// True: there is more to do, but others have their turn first.
bool Net::send_some() {
  Chain chain;
  int turn = 0;
  do {
    send_->disable_notify();
    while (send_->pop(chain)) {
      if (!write_frame(chain)) {
        send_->unpop();
        tap_is_full_ = true;
        return false;
      }
      send_->push(chain.head, 0);
      if (++turn == kFramesATurn) return true;
    }
  } while (send_->enable_notify() && !send_->broken());
  return false;
}

// False: the tap takes none now. What the host's kernel refuses is dropped, as on any network.
bool Net::write_frame(const Chain& chain) {
  virtio_net_hdr_mrg_rxbuf header{};
  if (chain.readable_bytes < kNetHeader || !read_value(chain.readable, 0, header)) return true;
  const std::uint64_t bytes = chain.readable_bytes - kNetHeader;
  if (!check_sent_header(header, bytes, features_)) return true;
  // The header as it was checked: the guest may change its own at any time.
  std::vector<iovec> pieces = part_of(chain.readable, kNetHeader, bytes);
  pieces.insert(pieces.begin(), {&header, sizeof header});
  return ::writev(tap_.get(), pieces.data(), static_cast<int>(pieces.size())) >= 0 ||
         errno != EAGAIN;
}

}  // namespace vrun::vmm
