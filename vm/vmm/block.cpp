#include "vm/vmm/block.hpp"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstddef>
#include <cstring>
#include <span>

#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/virtio_blk.h>
#include <sys/uio.h>
#include <unistd.h>

#include "vm/vmm/bus.hpp"

namespace vrun::vmm {
namespace {

constexpr std::uint64_t kSector = 512;
constexpr std::uint32_t kMostSegments = 126;      // with header and status: a whole indirect table
constexpr std::uint32_t kMostDiscard = 1u << 22;  // sectors: 2 GiB
constexpr std::uint32_t kMostRanges = 16;

struct Header {
  std::uint32_t type, reserved;
  std::uint64_t sector;
};

}  // namespace

Result<std::unique_ptr<Block>> Block::create(Fd file, bool read_only, std::string serial) {
  // Also right for block devices, whose stat has no size.
  const off_t end = ::lseek(file.get(), 0, SEEK_END);
  if (end < 0) return Error::system(errno, "find the size of disk '" + serial + "'");
  if (end == 0 || end % static_cast<off_t>(kSector) != 0)
    return Error(Code::kInvalid, "disk '" + serial + "' has " + std::to_string(end) +
                                     " bytes: no whole sectors of 512")
        .hint("truncate -s %512 FILE makes them whole");
  std::unique_ptr<Worker> worker = TRY(Worker::create("block"));
  return std::unique_ptr<Block>(new Block(std::move(worker), std::move(file),
                                          static_cast<std::uint64_t>(end), read_only,
                                          std::move(serial)));
}

Block::Block(std::unique_ptr<Worker> worker, Fd file, std::uint64_t size, bool read_only,
             std::string serial)
    : VirtioDevice(std::move(worker)),
      file_(std::move(file)),
      size_(size),
      read_only_(read_only),
      serial_(std::move(serial)) {}

std::uint64_t Block::features() const {
  std::uint64_t bits = (1ull << VIRTIO_BLK_F_SEG_MAX) | (1ull << VIRTIO_BLK_F_FLUSH) |
                       (1ull << VIRTIO_BLK_F_BLK_SIZE);
  bits |= read_only_ ? 1ull << VIRTIO_BLK_F_RO
                     : (1ull << VIRTIO_BLK_F_DISCARD) | (1ull << VIRTIO_BLK_F_WRITE_ZEROES);
  return bits;
}

void Block::read_config(std::uint64_t offset, std::span<std::uint8_t> bytes) {
  virtio_blk_config config{};
  config.capacity = size_ / kSector;
  config.seg_max = kMostSegments;
  config.blk_size = kSector;
  config.max_discard_sectors = config.max_write_zeroes_sectors = kMostDiscard;
  config.max_discard_seg = config.max_write_zeroes_seg = kMostRanges;
  config.discard_sector_alignment = 8;
  if (offset >= sizeof config) return;
  const auto all = std::as_bytes(std::span(&config, 1)).subspan(offset);
  std::memcpy(bytes.data(), all.data(), std::min(bytes.size(), all.size()));
}

void Block::activate(std::uint64_t, std::vector<std::unique_ptr<Virtqueue>> queues,
                     DriverLink& driver) {
  queue_ = std::move(queues[0]);
  driver_ = &driver;
  rung(0);  // the driver may have been quick
}

void Block::reset() {
  queue_.reset();
}

Result<void> Block::save(StateWriter& to) const {
  to.put(size_);
  to.put(static_cast<std::uint8_t>(read_only_ ? 1 : 0));
  if (!read_only_ && ::fdatasync(file_.get()) != 0)
    return Error::system(errno, "write out disk '" + serial_ + "'");
  return {};
}

Result<void> Block::load(StateReader& from) {
  const auto size = TRY(from.get<std::uint64_t>());
  if (TRY(from.get_flag()) == read_only_ && size == size_) return {};
  return Error(Code::kInvalid, "disk '" + serial_ + "' is not as the saved machine's was");
}

void Block::rung(std::uint16_t) {
  if (!queue_) return;
  Chain chain;
  do {
    queue_->disable_notify();
    while (queue_->pop(chain)) {
      if (const auto wait = toll(chain); wait.count() > 0) {
        queue_->unpop();
        return worker().after(wait.count(), [this] { rung(0); });
      }
      queue_->push(chain.head, serve(chain));
      if (queue_->needs_interrupt()) driver_->queue_interrupt(0);
    }
  } while (queue_->enable_notify() && !queue_->broken());
  if (queue_->broken()) driver_->needs_reset("block: " + queue_->fault());
}

void Block::limit(const DiskLimits& limits) {
  worker().run([&] {
    set_limits(limits);
    rung(0);  // what waits may go now
  });
}

void Block::set_limits(const DiskLimits& limits) {
  const auto now = Bucket::Clock::now();
  read_bytes_.set(limits.read_bytes, now);
  write_bytes_.set(limits.write_bytes, now);
  read_operations_.set(limits.read_operations, now);
  write_operations_.set(limits.write_operations, now);
}

std::chrono::milliseconds Block::toll(const Chain& chain) {
  Header header;
  if (!read_value(chain.readable, 0, header)) return {};
  const bool reads = header.type == VIRTIO_BLK_T_IN;
  if (!reads && header.type != VIRTIO_BLK_T_OUT) return {};
  Bucket& bytes = reads ? read_bytes_ : write_bytes_;
  Bucket& operations = reads ? read_operations_ : write_operations_;
  const auto now = Bucket::Clock::now();
  const auto wait = std::max(bytes.wait(now), operations.wait(now));
  if (wait.count() > 0) return wait;
  bytes.pay(reads ? chain.writable_bytes : chain.readable_bytes);
  operations.pay(1);
  return {};
}

std::uint32_t Block::serve(const Chain& chain) {
  Header header;
  if (chain.writable_bytes == 0 || !read_value(chain.readable, 0, header)) return 0;
  const std::uint64_t status_at = chain.writable_bytes - 1;
  std::uint64_t written = 0;
  std::uint8_t status = VIRTIO_BLK_S_UNSUPP;
  switch (header.type) {
    case VIRTIO_BLK_T_IN:
      status = transfer(chain, header.sector, false);
      written = status == VIRTIO_BLK_S_OK ? status_at : 0;
      break;
    case VIRTIO_BLK_T_OUT:
      status = transfer(chain, header.sector, true);
      break;
    case VIRTIO_BLK_T_FLUSH:
      status = ::fdatasync(file_.get()) == 0 ? VIRTIO_BLK_S_OK : VIRTIO_BLK_S_IOERR;
      break;
    case VIRTIO_BLK_T_GET_ID: {
      char id[VIRTIO_BLK_ID_BYTES] = {};
      std::memcpy(id, serial_.data(), std::min(serial_.size(), sizeof id));
      written = copy_in(part_of(chain.writable, 0, status_at), 0, std::as_bytes(std::span(id)));
      status = VIRTIO_BLK_S_OK;
      break;
    }
    case VIRTIO_BLK_T_DISCARD:
    case VIRTIO_BLK_T_WRITE_ZEROES:
      status = discard(chain, header.type == VIRTIO_BLK_T_WRITE_ZEROES);
      break;
    default:
      break;
  }
  write_value(chain.writable, status_at, status);
  return static_cast<std::uint32_t>(written + 1);
}

std::uint8_t Block::transfer(const Chain& chain, std::uint64_t sector, bool write) {
  if (write && read_only_) return VIRTIO_BLK_S_IOERR;
  const std::uint64_t count =
      write ? chain.readable_bytes - sizeof(Header) : chain.writable_bytes - 1;
  if (count % kSector != 0 || sector > size_ / kSector || count > size_ - sector * kSector)
    return VIRTIO_BLK_S_IOERR;
  std::vector<iovec> pieces =
      write ? part_of(chain.readable, sizeof(Header), count) : part_of(chain.writable, 0, count);
  std::uint64_t offset = sector * kSector;
  std::size_t first = 0;
  while (first < pieces.size()) {
    const int most = static_cast<int>(std::min<std::size_t>(pieces.size() - first, IOV_MAX));
    const ssize_t n = write
                          ? ::pwritev(file_.get(), &pieces[first], most, static_cast<off_t>(offset))
                          : ::preadv(file_.get(), &pieces[first], most, static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return VIRTIO_BLK_S_IOERR;  // also a file that became shorter
    offset += static_cast<std::uint64_t>(n);
    auto left = static_cast<std::size_t>(n);
    while (first < pieces.size() && left >= pieces[first].iov_len)
      left -= pieces[first++].iov_len;
    if (left > 0) {
      pieces[first].iov_base = static_cast<std::byte*>(pieces[first].iov_base) + left;
      pieces[first].iov_len -= left;
    }
  }
  return VIRTIO_BLK_S_OK;
}

std::uint8_t Block::discard(const Chain& chain, bool zeroes) {
  if (read_only_) return VIRTIO_BLK_S_IOERR;
  const std::uint64_t count = (chain.readable_bytes - sizeof(Header)) / 16;
  if (count == 0 || count > kMostRanges) return VIRTIO_BLK_S_UNSUPP;
  for (std::uint64_t i = 0; i < count; ++i) {
    virtio_blk_discard_write_zeroes range;
    if (!read_value(chain.readable, sizeof(Header) + i * sizeof range, range))
      return VIRTIO_BLK_S_IOERR;
    const std::uint64_t sectors = range.num_sectors;
    if (sectors > kMostDiscard || range.sector > size_ / kSector ||
        sectors > size_ / kSector - range.sector)
      return VIRTIO_BLK_S_IOERR;
    if (sectors == 0) continue;
    // A hole reads as zeroes, so one call serves both; where the file system has no holes, zeroes
    // still have to be there, and a discard need do nothing.
    const int punched = ::fallocate(file_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                    static_cast<off_t>(range.sector * kSector),
                                    static_cast<off_t>(sectors * kSector));
    if (punched == 0 || (!zeroes && errno == EOPNOTSUPP)) continue;
    return zeroes && errno == EOPNOTSUPP ? VIRTIO_BLK_S_UNSUPP : VIRTIO_BLK_S_IOERR;
  }
  return VIRTIO_BLK_S_OK;
}

}  // namespace vrun::vmm
