#include "vm/vmm/balloon.hpp"

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/sys.hpp"
#include "vm/vmm/bus.hpp"

namespace vrun::vmm {
namespace {

constexpr std::uint64_t kMemory = 16 << 20, kPage = 4096;
constexpr std::uint16_t kWrite = 2;

class Link : public DriverLink {
 public:
  void queue_interrupt(std::uint16_t queue) override { interrupts.push_back(queue); }
  void config_changed() override { ++changes; }
  void needs_reset(const std::string& why) override { complaint = why; }
  std::vector<std::uint16_t> interrupts;
  int changes = 0;
  std::string complaint;
};

// A guest with a driver: queues at 1 MiB and on, requests at 2 MiB.
class Guest {
 public:
  static constexpr std::uint64_t kQueues = 1 << 20, kRequest = 2 << 20;

  Guest() : file(*sys::memfd("test-balloon")), memory(map()), balloon(*Balloon::create(memory)) {}
  ~Guest() {
    balloon->worker().run([&] { balloon->reset(); });
  }

  void start(std::size_t reporting) {
    std::vector<std::unique_ptr<Virtqueue>> queues(balloon->queue_sizes().size());
    for (const std::size_t index : {std::size_t{0}, std::size_t{1}, reporting})
      queues[index] = std::make_unique<Virtqueue>(memory, setup(index));
    balloon->worker().run([&] { balloon->activate(0, std::move(queues), link); });
  }
  // One request of one piece.
  void send(std::uint16_t queue, std::uint64_t address, std::uint64_t length,
            std::uint16_t flags = 0) {
    struct {
      std::uint64_t address;
      std::uint32_t length;
      std::uint16_t flags, next;
    } descriptor{address, static_cast<std::uint32_t>(length), flags, 0};
    const QueueSetup at = setup(queue);
    ASSERT_TRUE(memory.write(at.descriptors, descriptor));
    memory.write(at.available + 4 + 2ull * (offered[queue] % at.size), std::uint16_t{0});
    memory.write(at.available + 2, ++offered[queue]);
    balloon->worker().run([&] { balloon->rung(queue); });
  }
  void send_pages(std::uint16_t queue, const std::vector<std::uint32_t>& pages) {
    for (std::size_t i = 0; i < pages.size(); ++i)
      memory.write(kRequest + 4 * i, pages[i]);
    send(queue, kRequest, 4 * pages.size());
  }
  // Bytes that the memory's file takes.
  std::uint64_t taken() const {
    return static_cast<std::uint64_t>(sys::stat(file.get())->st_blocks) * 512;
  }
  void fill(std::uint64_t first, std::uint64_t count) {
    std::fill_n(reinterpret_cast<char*>(memory.at(first, count)), count, 'x');
  }
  std::array<std::uint32_t, 2> config() {
    std::array<std::uint8_t, 8> bytes{};
    balloon->read_config(0, bytes);
    return {static_cast<std::uint32_t>(number_of(std::span(bytes).first(4))),
            static_cast<std::uint32_t>(number_of(std::span(bytes).last(4)))};
  }

  Fd file;
  GuestMemory memory;
  std::unique_ptr<Balloon> balloon;
  Link link;
  std::array<std::uint16_t, 5> offered{};

 private:
  GuestMemory map() {
    EXPECT_EQ(::ftruncate(file.get(), kMemory), 0);
    return *GuestMemory::map(file, kMemory);
  }
  static QueueSetup setup(std::size_t index) {
    const std::uint64_t at = kQueues + index * 0x4000;
    return {.size = 64, .descriptors = at, .available = at + 0x1000, .used = at + 0x2000};
  }
};

constexpr std::uint32_t kFirst = 1024;  // of the pages that the tests give away: at 4 MiB

TEST(Balloon, pages_that_come_back_leave_the_file) {
  Guest guest;
  guest.start(2);
  guest.fill(kFirst * kPage, 64 * kPage);
  const std::uint64_t before = guest.taken();
  std::vector<std::uint32_t> pages;
  for (std::uint32_t i = 64; i > 0; --i)  // as Linux finds them: backwards
    pages.push_back(kFirst + i - 1);
  guest.send_pages(0, pages);
  EXPECT_EQ(guest.balloon->size(), kMemory - 64 * kPage);
  EXPECT_LE(guest.taken(), before - 60 * kPage);
  EXPECT_EQ(*guest.memory.read<char>(kFirst * kPage), '\0');
  EXPECT_EQ(guest.link.interrupts.back(), 0);
  guest.send_pages(1, {kFirst, kFirst + 63});
  EXPECT_EQ(guest.balloon->size(), kMemory - 62 * kPage);
}

TEST(Balloon, a_page_counts_once_whatever_the_guest_says) {
  Guest guest;
  guest.start(2);
  guest.send_pages(0, {kFirst, kFirst, kFirst, 0xffffffff, kMemory / kPage});
  EXPECT_EQ(guest.balloon->size(), kMemory - kPage);
  guest.send_pages(1, {kFirst, kFirst, kFirst + 1, 0xffffffff});
  EXPECT_EQ(guest.balloon->size(), kMemory);
  EXPECT_EQ(guest.link.complaint, "");
}

TEST(Balloon, free_pages_that_are_reported_leave_the_file) {
  // Where Linux and the standard put the queue.
  for (const std::uint16_t queue : {std::uint16_t{2}, std::uint16_t{4}}) {
    Guest guest;
    guest.start(queue);
    guest.fill(4 << 20, 2 << 20);
    const std::uint64_t before = guest.taken();
    guest.send(queue, 4 << 20, 2 << 20, kWrite);
    EXPECT_LE(guest.taken(), before - (2 << 20) + 2 * kPage);  // the queue took pages meanwhile
    EXPECT_EQ(guest.balloon->reported(), 2u << 20);
    EXPECT_EQ(guest.balloon->size(), kMemory);
    EXPECT_EQ(guest.link.interrupts.back(), queue);
  }
}

TEST(Balloon, only_whole_pages_of_a_report_go) {
  Guest guest;
  guest.start(2);
  guest.fill(4 << 20, 4 * kPage);
  guest.send(2, (4 << 20) + 1, 2 * kPage, kWrite);
  EXPECT_EQ(*guest.memory.read<char>(4 << 20), 'x');
  EXPECT_EQ(*guest.memory.read<char>((4 << 20) + kPage), '\0');
  EXPECT_EQ(*guest.memory.read<char>((4 << 20) + 2 * kPage), 'x');
}

TEST(Balloon, what_is_not_shared_loses_its_content_and_not_the_file_behind_it) {
  Guest guest;
  guest.start(2);
  const Fd kernel = *sys::memfd("test-kernel");
  ASSERT_EQ(::ftruncate(kernel.get(), kPage), 0);
  ASSERT_EQ(::pwrite(kernel.get(), "K", 1, 0), 1);
  std::byte* const at = guest.memory.at(8 << 20, kPage);
  ASSERT_EQ(::mmap(at, kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, kernel.get(), 0),
            at);
  guest.fill(8 << 20, kPage);
  guest.send(2, 8 << 20, kPage, kWrite);
  EXPECT_EQ(*guest.memory.read<char>(8 << 20), 'K');
  char content = 0;
  ASSERT_EQ(::pread(kernel.get(), &content, 1, 0), 1);
  EXPECT_EQ(content, 'K');
}

TEST(Balloon, the_guest_is_told_what_it_shall_do_without) {
  Guest guest;
  EXPECT_EQ(guest.balloon->resize(kMemory).error().code(), Code::kUnsupported);  // no driver yet
  guest.start(2);
  ASSERT_TRUE(guest.balloon->resize(kMemory / 2).has_value());
  EXPECT_EQ(guest.link.changes, 1);
  EXPECT_EQ(guest.config()[0], kMemory / 2 / kPage);
  EXPECT_EQ(guest.balloon->size(), kMemory);  // until it has done so
  EXPECT_EQ(guest.balloon->resize(kMemory + kPage).error().code(), Code::kInvalid);
  EXPECT_EQ(guest.balloon->resize(kMemory - 1).error().code(), Code::kInvalid);
}

TEST(Balloon, a_report_of_what_is_no_memory_breaks_the_queue_only) {
  Guest guest;
  guest.start(2);
  guest.send(2, kMemory, kPage, kWrite);
  EXPECT_NE(guest.link.complaint.find("balloon"), std::string::npos);
  EXPECT_EQ(guest.balloon->reported(), 0u);
}

TEST(Balloon, a_driver_that_begins_anew_has_all_its_memory) {
  Guest guest;
  guest.start(2);
  guest.send_pages(0, {kFirst});
  guest.balloon->worker().run([&] { guest.balloon->reset(); });
  EXPECT_EQ(guest.balloon->size(), kMemory);
}

}  // namespace
}  // namespace vrun::vmm
