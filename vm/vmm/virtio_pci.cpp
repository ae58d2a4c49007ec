#include "vm/vmm/virtio_pci.hpp"

#include <bit>
#include <cerrno>
#include <cstring>
#include <utility>

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "vm/vmm/layout.hpp"

namespace vrun::vmm {
namespace {

constexpr std::uint64_t kCommon = 0x0000, kCommonSize = 56, kIsr = 0x1000, kDevice = 0x2000;
constexpr std::uint64_t kBells = 0x3000, kTable = 0x4000, kPending = 0x5000, kMemory = 0x8000;
constexpr std::uint64_t kArea = 0x1000;
constexpr std::uint32_t kBellStep = 4;

// VIRTIO_PCI_CAP_* and device status bits.
constexpr std::uint8_t kCapCommon = 1, kCapNotify = 2, kCapIsr = 3, kCapDevice = 4, kCapAccess = 5;
constexpr std::uint8_t kFeaturesOk = 8, kDriverOk = 4, kNeedsReset = 64;
constexpr std::uint8_t kIsrQueue = 1, kIsrConfig = 2;

constexpr std::uint8_t kIdVendor = 0x09, kIdMsix = 0x11;
constexpr std::uint32_t kRedHatVendor = 0x1af4;  // virtio's

// A vendor capability without its first two bytes.
std::vector<std::uint8_t> capability(std::uint8_t type, std::uint32_t offset, std::uint32_t length,
                                     std::span<const std::uint8_t> more = {}) {
  std::vector<std::uint8_t> bytes(14);
  bytes[0] = static_cast<std::uint8_t>(16 + more.size());
  bytes[1] = type;
  put_number(std::span(bytes).subspan(6, 4), offset);
  put_number(std::span(bytes).subspan(10, 4), length);
  bytes.insert(bytes.end(), more.begin(), more.end());
  return bytes;
}

// Half of a 64-bit register, or all of it.
std::uint64_t merged(std::uint64_t whole, std::uint64_t at, std::uint64_t value, std::size_t size) {
  if (size == 8) return value;
  const std::uint64_t shift = at * 8;
  return (whole & ~(0xffffffffull << shift)) | (value << shift);
}

}  // namespace

Result<std::unique_ptr<VirtioPci>> VirtioPci::create(
    std::unique_ptr<VirtioDevice> device, const Vm& vm, const GuestMemory& memory,
    std::function<void(const std::string&)> complain) {
  std::vector<std::unique_ptr<Queue>> queues;
  for (const std::uint16_t size : device->queue_sizes()) {
    auto queue = std::make_unique<Queue>();
    queue->most = queue->setup.size = size;
    queue->bell = Fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!queue->bell) return Error::system(errno, "make an event");
    queues.push_back(std::move(queue));
  }
  return std::unique_ptr<VirtioPci>(
      new VirtioPci(std::move(device), vm, memory, std::move(queues), std::move(complain)));
}

VirtioPci::VirtioPci(std::unique_ptr<VirtioDevice> device, const Vm& vm, const GuestMemory& memory,
                     std::vector<std::unique_ptr<Queue>> queues,
                     std::function<void(const std::string&)> complain)
    : PciDevice(kRedHatVendor | ((0x1040u + device->type()) << 16),
                kRedHatVendor | (std::uint32_t{device->type()} << 16), device->pci_class(),
                kMemory),
      device_(std::move(device)),
      vm_(vm),
      memory_(memory),
      complain_(std::move(complain)),
      msix_(vm, static_cast<std::uint16_t>(queues.size() + 1)),
      queues_(std::move(queues)) {
  describe();
  device_->worker().run([this] {
    for (std::uint16_t i = 0; i < queues_.size(); ++i) {
      const int bell = queues_[i]->bell.get();
      device_->worker().watch(bell, EPOLLIN, [this, i, bell](std::uint32_t) {
        std::uint64_t count = 0;
        if (::read(bell, &count, sizeof count) > 0) device_->rung(i);
      });
    }
  });
}

VirtioPci::~VirtioPci() {
  // The worker calls into this object until here.
  device_->worker().run([this] {
    device_->reset();
    for (const std::unique_ptr<Queue>& queue : queues_)
      device_->worker().forget(queue->bell.get());
  });
  if (memory_at() != 0) memory_moved(memory_at(), 0);
}

void VirtioPci::describe() {
  std::array<std::uint8_t, 4> step{};
  put_number(step, kBellStep);
  add_capability(kIdVendor, capability(kCapCommon, kCommon, kCommonSize));
  add_capability(kIdVendor, capability(kCapIsr, kIsr, kArea));
  add_capability(kIdVendor, capability(kCapDevice, kDevice, kArea));
  add_capability(kIdVendor, capability(kCapNotify, kBells, kArea, step));
  // A window through configuration space onto BAR 0: which part of it the guest writes there.
  access_at_ = add_capability(kIdVendor, capability(kCapAccess, 0, 0, step));
  make_writable(access_at_ + 4u, 1);
  make_writable(access_at_ + 8u, 12);

  std::array<std::uint8_t, 10> msix{};
  put_number(std::span(msix).subspan(0, 2), static_cast<std::uint64_t>(msix_.vectors()) - 1);
  put_number(std::span(msix).subspan(2, 4), kTable);
  put_number(std::span(msix).subspan(6, 4), kPending);
  msix_at_ = add_capability(kIdMsix, msix);
  make_writable(msix_at_ + 3u, 1, 0xc0);
}

void VirtioPci::config_written(std::uint64_t offset, std::uint64_t count) {
  const std::uint64_t control = msix_at_ + 2u;
  if (offset < control + 2 && offset + count > control)
    msix_.set_control(static_cast<std::uint16_t>(number_of(config().subspan(control, 2))));
  const std::uint64_t data = access_at_ + 16u;
  if (offset >= data && offset < data + 4) {
    const std::uint64_t at = number_of(config().subspan(access_at_ + 8u, 4));
    const std::uint64_t length = number_of(config().subspan(access_at_ + 12u, 4));
    if (std::has_single_bit(length) && length <= 4 && at + length <= kMemory)
      write_memory(at, config().subspan(data, length));
  }
}

void VirtioPci::config_read(std::uint64_t offset, std::uint64_t) {
  const std::uint64_t data = access_at_ + 16u;
  if (offset < data || offset >= data + 4) return;
  const std::uint64_t at = number_of(config().subspan(access_at_ + 8u, 4));
  const std::uint64_t length = number_of(config().subspan(access_at_ + 12u, 4));
  if (std::has_single_bit(length) && length <= 4 && at + length <= kMemory)
    read_memory(at, config().subspan(data, length));
}

void VirtioPci::memory_moved(std::uint64_t from, std::uint64_t to) {
  for (std::uint16_t i = 0; i < queues_.size(); ++i) {
    const std::uint64_t bell = kBells + std::uint64_t{i} * kBellStep;
    // Where the kernel has no room for one, the write itself rings (write_memory).
    if (from != 0) {
      [[maybe_unused]] const auto gone = vm_.remove_doorbell(from + bell, i, queues_[i]->bell);
    }
    if (to != 0) {
      [[maybe_unused]] const auto there = vm_.add_doorbell(to + bell, i, queues_[i]->bell);
    }
  }
}

void VirtioPci::read_memory(std::uint64_t offset, std::span<std::uint8_t> bytes) {
  if (offset < kIsr) {
    const std::lock_guard guard(lock_);
    put_number(bytes, load(offset));
  } else if (offset < kDevice) {
    put_number(bytes, offset == kIsr ? isr_.exchange(0) : 0);
  } else if (offset < kBells) {
    std::memset(bytes.data(), 0, bytes.size());
    device_->read_config(offset - kDevice, bytes);
  } else if (offset >= kTable && offset < kPending) {
    msix_.read_table(offset - kTable, bytes);
  } else if (offset >= kPending) {
    msix_.read_pending(offset - kPending, bytes);
  } else {
    put_number(bytes, 0);
  }
}

void VirtioPci::write_memory(std::uint64_t offset, std::span<const std::uint8_t> bytes) {
  if (offset < kIsr) {
    const std::lock_guard guard(lock_);
    store(offset, number_of(bytes), bytes.size());
  } else if (offset >= kDevice && offset < kBells) {
    device_->write_config(offset - kDevice, bytes);
  } else if (offset >= kBells && offset < kTable) {
    const std::uint64_t queue = (offset - kBells) / kBellStep;
    if (queue < queues_.size()) ::eventfd_write(queues_[queue]->bell.get(), 1);
  } else if (offset >= kTable && offset < kPending) {
    msix_.write_table(offset - kTable, bytes);
  }
}

std::uint64_t VirtioPci::offered() const {
  return device_->features() | kFeatureIndirect | kFeatureEventIndex | kFeatureVersion1;
}

std::uint64_t VirtioPci::load(std::uint64_t offset) {
  Queue* queue = queue_select_ < queues_.size() ? queues_[queue_select_].get() : nullptr;
  switch (offset) {
    case 0:
      return device_feature_select_;
    case 4:
      return device_feature_select_ < 2 ? (offered() >> (32 * device_feature_select_)) & 0xffffffff
                                        : 0;
    case 8:
      return driver_feature_select_;
    case 12:
      return driver_feature_select_ < 2
                 ? (driver_features_ >> (32 * driver_feature_select_)) & 0xffffffff
                 : 0;
    case 16:
      return config_vector_;
    case 18:
      return queues_.size();
    case 20:
      return status_;
    case 21:
      return generation_;
    case 22:
      return queue_select_;
    case 24:
      return queue != nullptr ? queue->setup.size : 0;
    case 26:
      return queue != nullptr ? queue->vector.load() : kNoVector;
    case 28:
      return queue != nullptr && queue->enabled ? 1 : 0;
    case 30:
      return queue_select_;
    case 32:
      return queue != nullptr ? queue->setup.descriptors : 0;
    case 36:
      return queue != nullptr ? queue->setup.descriptors >> 32 : 0;
    case 40:
      return queue != nullptr ? queue->setup.available : 0;
    case 44:
      return queue != nullptr ? queue->setup.available >> 32 : 0;
    case 48:
      return queue != nullptr ? queue->setup.used : 0;
    case 52:
      return queue != nullptr ? queue->setup.used >> 32 : 0;
    default:
      return 0;
  }
}

void VirtioPci::store(std::uint64_t offset, std::uint64_t value, std::size_t size) {
  switch (offset) {
    case 0:
      device_feature_select_ = static_cast<std::uint32_t>(value);
      return;
    case 8:
      driver_feature_select_ = static_cast<std::uint32_t>(value);
      return;
    case 12:
      // Settled features stay until the next reset.
      if (driver_feature_select_ < 2 && (status_ & kFeaturesOk) == 0)
        driver_features_ =
            merged(driver_features_, 4ull * driver_feature_select_, value & 0xffffffff, 4);
      return;
    case 16:
      config_vector_ = value < msix_.vectors() ? static_cast<std::uint16_t>(value) : kNoVector;
      return;
    case 20:
      return set_status(static_cast<std::uint8_t>(value));
    case 22:
      queue_select_ = static_cast<std::uint16_t>(value);
      return;
    default:
      if (queue_select_ < queues_.size()) store_queue(*queues_[queue_select_], offset, value, size);
  }
}

void VirtioPci::store_queue(Queue& queue, std::uint64_t offset, std::uint64_t value,
                            std::size_t size) {
  if (offset == 26) {
    queue.vector = value < msix_.vectors() ? static_cast<std::uint16_t>(value) : kNoVector;
    return;
  }
  if (queue.enabled) return;  // a queue at work does not move
  switch (offset) {
    case 24:
      if (std::has_single_bit(value) && value <= queue.most)
        queue.setup.size = static_cast<std::uint16_t>(value);
      return;
    case 28:
      queue.enabled = value == 1;
      return;
    case 32:
    case 36:
      queue.setup.descriptors = merged(queue.setup.descriptors, offset - 32, value, size);
      return;
    case 40:
    case 44:
      queue.setup.available = merged(queue.setup.available, offset - 40, value, size);
      return;
    case 48:
    case 52:
      queue.setup.used = merged(queue.setup.used, offset - 48, value, size);
      return;
    default:
      return;
  }
}

void VirtioPci::set_status(std::uint8_t value) {
  if (value == 0) return reset();
  // The driver may only add bits; ours is not its to set.
  std::uint8_t wanted = static_cast<std::uint8_t>((status_ | value) & ~kNeedsReset);
  const bool known = (driver_features_ & ~offered()) == 0;
  if (!known || (driver_features_ & kFeatureVersion1) == 0)
    wanted = static_cast<std::uint8_t>(wanted & ~kFeaturesOk);
  status_ = static_cast<std::uint8_t>(wanted | (status_ & kNeedsReset));
  if (!active_ && (wanted & kDriverOk) != 0 && (wanted & kFeaturesOk) != 0) activate();
}

void VirtioPci::activate() {
  activate_at(std::vector<Position>(queues_.size()));
}

void VirtioPci::activate_at(const std::vector<Position>& positions) {
  active_ = true;
  std::vector<std::unique_ptr<Virtqueue>> ready;
  for (std::size_t i = 0; i < queues_.size(); ++i) {
    Queue& queue = *queues_[i];
    queue.setup.event_index = (driver_features_ & kFeatureEventIndex) != 0;
    ready.push_back(queue.enabled ? std::make_unique<Virtqueue>(memory_, queue.setup) : nullptr);
    queue.at_work = ready.back().get();
    if (queue.at_work != nullptr)
      queue.at_work->continue_at(positions[i].available, positions[i].used);
  }
  device_->worker().run([&] { device_->activate(driver_features_, std::move(ready), *this); });
}

void VirtioPci::reset() {
  if (active_) device_->worker().run([this] { device_->reset(); });
  active_ = false;
  for (const std::unique_ptr<Queue>& queue : queues_) {
    queue->setup = QueueSetup{};
    queue->setup.size = queue->most;
    queue->vector = kNoVector;
    queue->enabled = false;
    queue->at_work = nullptr;
  }
  driver_features_ = 0;
  device_feature_select_ = driver_feature_select_ = 0;
  queue_select_ = 0;
  config_vector_ = kNoVector;
  isr_ = 0;
  status_ = 0;
}

void VirtioPci::finish_requests() {
  if (!active_) return;
  device_->worker().run([this] {
    for (std::uint16_t i = 0; i < queues_.size(); ++i)
      device_->rung(i);
  });
}

Result<void> VirtioPci::save(StateWriter& to) {
  if ((status_ & kNeedsReset) != 0)
    return Error(Code::kUnsupported,
                 "a driver of the guest broke the rules of its device, which "
                 "waits for its reset");
  to.section("VPCI");
  to.put(device_->type());
  save_config(to);
  msix_.save(to);
  to.put(device_feature_select_);
  to.put(driver_feature_select_);
  to.put(driver_features_);
  to.put(queue_select_);
  to.put(status_.load());
  to.put(isr_.load());
  to.put(generation_.load());
  to.put(config_vector_.load());
  to.put(static_cast<std::uint8_t>(active_ ? 1 : 0));
  for (const std::unique_ptr<Queue>& queue : queues_) {
    to.put(queue->setup.size);
    to.put(queue->setup.descriptors);
    to.put(queue->setup.available);
    to.put(queue->setup.used);
    to.put(queue->vector.load());
    to.put(static_cast<std::uint8_t>(queue->enabled ? 1 : 0));
    const Virtqueue* const at_work = queue->at_work;
    to.put(at_work != nullptr ? at_work->next_available() : std::uint16_t{0});
    to.put(at_work != nullptr ? at_work->next_used() : std::uint16_t{0});
  }
  return device_->save(to);
}

Result<void> VirtioPci::load_queue(Queue& queue, StateReader& from) {
  queue.setup.size = TRY(from.get<std::uint16_t>());
  queue.setup.descriptors = TRY(from.get<std::uint64_t>());
  queue.setup.available = TRY(from.get<std::uint64_t>());
  queue.setup.used = TRY(from.get<std::uint64_t>());
  const auto vector = TRY(from.get<std::uint16_t>());
  queue.vector = vector < msix_.vectors() ? vector : kNoVector;
  queue.enabled = TRY(from.get_flag());
  if (std::has_single_bit(queue.setup.size) && queue.setup.size <= queue.most) return {};
  return Error(Code::kInvalid, "the machine's state has a queue of no possible size");
}

Result<void> VirtioPci::load(StateReader& from) {
  TRY(from.section("VPCI"));
  if (TRY(from.get<std::uint16_t>()) != device_->type())
    return Error(Code::kInvalid, "the saved machine has another device in this place");
  TRY(load_config(from));
  TRY(msix_.load(from));
  device_feature_select_ = TRY(from.get<std::uint32_t>());
  driver_feature_select_ = TRY(from.get<std::uint32_t>());
  driver_features_ = TRY(from.get<std::uint64_t>());
  queue_select_ = TRY(from.get<std::uint16_t>());
  status_ = TRY(from.get<std::uint8_t>()) & static_cast<std::uint8_t>(~kNeedsReset);
  isr_ = TRY(from.get<std::uint8_t>());
  generation_ = TRY(from.get<std::uint8_t>());
  const auto config_vector = TRY(from.get<std::uint16_t>());
  config_vector_ = config_vector < msix_.vectors() ? config_vector : kNoVector;
  const bool was_active = TRY(from.get_flag());
  std::vector<Position> positions;
  for (const std::unique_ptr<Queue>& queue : queues_) {
    TRY(load_queue(*queue, from));
    const auto available = TRY(from.get<std::uint16_t>());
    positions.push_back({available, TRY(from.get<std::uint16_t>())});
  }
  if ((driver_features_ & ~offered()) != 0)
    return Error(Code::kInvalid, "the saved machine has features that its device has not");
  Result<void> loaded;
  device_->worker().run([&] { loaded = device_->load(from); });
  TRY(std::move(loaded));
  if (!was_active) return {};
  activate_at(positions);
  // A driver that waits for one may have been owed it; one too many does no harm.
  for (std::uint16_t i = 0; i < queues_.size(); ++i)
    queue_interrupt(i);
  return {};
}

void VirtioPci::queue_interrupt(std::uint16_t queue) {
  isr_ |= kIsrQueue;
  msix_.trigger(queues_[queue]->vector);
}

void VirtioPci::config_changed() {
  isr_ |= kIsrConfig;
  ++generation_;
  msix_.trigger(config_vector_);
}

void VirtioPci::needs_reset(const std::string& why) {
  if ((status_.fetch_or(kNeedsReset) & kNeedsReset) != 0) return;
  complain_(why);
  config_changed();
}

}  // namespace vrun::vmm
