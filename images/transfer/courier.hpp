// The process that talks to registries, and the wire to it.
//
// It is forked by vrun-image and gives up everything before the first byte of the network: root
// becomes nobody, no capabilities, no new privileges, no descriptors but the wire. It cannot read
// or write the store. What it fetches goes into descriptors that come with the tasks (pipes to
// confined unpackers, memory); whoever reads them verifies. Several tasks run at once, a thread
// each. If its parent dies, it dies.
//
//   parent                                    courier
//     task {id, kind, ...} + descriptor  --->
//     <---  answer {id, error?, ...}              one for each task, in any order
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "images/transfer/endpoint.hpp"

namespace vrun::images {

enum class TaskKind : std::uint8_t {
  kManifest,     // `reference` of `repository` into the descriptor
  kBlob,         // `digest` into the descriptor
  kPing,         // is the user welcome?
  kHasBlob,      // at the registry
  kUpload,       // `digest` from the descriptor (a regular file)
  kPutManifest,  // as `reference`, from the descriptor
};

struct CourierTask {
  std::uint64_t id = 0;
  TaskKind kind = TaskKind::kPing;
  std::string repository, reference, digest, media_type, mount_from;
  std::uint64_t size = 0;
  std::uint64_t slot = 0;  // where moved bytes are counted
};

struct CourierAnswer {
  std::uint64_t id = 0;
  bool failed = false;
  int code = 0;  // of Error
  std::string text, hint;
  std::string media_type, digest;
  bool found = false;    // kHasBlob
  bool mounted = false;  // kUpload
  // The reader of the descriptor went away: it knows better why.
  bool reader_gone = false;

  Result<void> result() const;
};

// How many bytes of each transfer have moved: memory that both processes see.
class ByteCounters {
 public:
  static constexpr std::size_t kSlots = 1024;
  static Result<std::shared_ptr<ByteCounters>> create();
  void add(std::uint64_t slot, std::uint64_t bytes) { at(slot).fetch_add(bytes); }
  std::uint64_t bytes(std::uint64_t slot) const { return slots_[slot % kSlots].load(); }

 private:
  std::atomic<std::uint64_t>& at(std::uint64_t slot) { return slots_[slot % kSlots]; }
  std::array<std::atomic<std::uint64_t>, kSlots> slots_{};
};

class Courier {
 public:
  // `parallel`: how many tasks at once.
  static Result<Courier> start(const Network& network, unsigned parallel);
  Courier(Courier&&) noexcept;
  Courier& operator=(Courier&&) = delete;
  Courier(const Courier&) = delete;
  Courier& operator=(const Courier&) = delete;
  ~Courier();  // kills it

  // Answers the id; `fd` is duplicated on its way.
  Result<std::uint64_t> send(CourierTask task, const Fd& fd);
  Result<CourierAnswer> receive();  // waits; an error when the courier is dead
  const Fd& wire() const { return wire_; }
  const ByteCounters& counters() const { return *counters_; }

 private:
  Courier(pid_t pid, Fd wire, std::shared_ptr<ByteCounters> counters)
      : pid_(pid), wire_(std::move(wire)), counters_(std::move(counters)) {}
  pid_t pid_;
  Fd wire_;
  std::shared_ptr<ByteCounters> counters_;
  std::uint64_t last_id_ = 0;
};

}  // namespace vrun::images
