// The wire between the host and the agent in a micro-VM (docs/protocol.md draws it).
//
//   frame:   length of the content (4 bytes, little-endian)   type (1 byte)   content
//
// One connection serves one request. Both sides begin with kHello; then the host asks with kRun,
// kExec or kCall. A process keeps its connection until its end:
//
//   host                                guest
//   kHello version              ->
//                               <-      kHello version
//   kRun / kExec JSON           ->
//                               <-      kStarted pid           or  kError JSON, end
//   kInput bytes, kInputEnd     ->
//   kResize rows columns        ->
//   kSignal number              ->
//   kOutputEnd stream           ->
//                               <-      kInputTaken count
//                               <-      kOutput, kErrors bytes
//                               <-      kMemoryKills count, of kRun only
//                               <-      kExit code signal, end
//
// A machine that goes on from a snapshot has its process already, and asks with kAdopt instead of
// kRun; what follows is the same.
//
// Of kInput the host sends kInputWindow bytes ahead of what the process has taken, so that the
// frames behind them (a signal for a process that reads nothing) arrive. An agent that counts says
// so by a kInputTaken of 0 behind kStarted; older ones on disks do not.
//
// Neither side believes the other: lengths, types and their order are checked, and who breaks them
// loses the connection.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace vrun::vm {

inline constexpr std::uint32_t kAgentVersion = 1;
inline constexpr std::uint32_t kAgentPort = 1024;  // of the guest, virtio socket
inline constexpr std::size_t kMostContent = 4 << 20;
inline constexpr std::size_t kMostStream = 64 << 10;  // of kInput, kOutput, kErrors
inline constexpr std::size_t kInputWindow = 128 << 10;

enum class FrameType : std::uint8_t {
  kHello = 1,    // u32 version
  kRun = 2,      // JSON: the guest's own process, once in a VM's life
  kExec = 3,     // JSON: a further process
  kCall = 4,     // JSON: a question; the answer is kAnswer or kError
  kAnswer = 5,   // JSON
  kStarted = 6,  // u32 pid in the guest
  kInput = 7,
  kInputEnd = 8,
  kResize = 9,   // u32 rows, u32 columns
  kSignal = 10,  // u32
  kOutput = 11,
  kErrors = 12,
  kExit = 13,         // i32 code, i32 signal (0: none)
  kError = 14,        // JSON: failure.hpp
  kOutputEnd = 15,    // u32 1 or 2: the host takes no more of kOutput or kErrors
  kMemoryKills = 16,  // u32: processes that the guest's kernel has killed for want of memory
  kAdopt = 17,        // JSON: the guest's own process, which runs already in a restored machine
  kInputTaken = 18,   // u32: bytes of kInput that the process took since the last one
};

struct Frame {
  FrameType type = FrameType::kHello;
  std::string content;
};

// A frame as bytes. The content must be within the bounds of its type.
std::string encode(FrameType type, std::string_view content = {});
std::string encode_numbers(FrameType type, std::initializer_list<std::uint32_t> numbers);

// Puts frames together from what a stream brings.
class FrameReader {
 public:
  void feed(std::string_view bytes) { bytes_.append(bytes); }
  // The next whole frame; none: more bytes are needed. kInvalid for what is no frame: the
  // connection is of no use any more.
  Result<std::optional<Frame>> next();
  bool empty() const { return bytes_.empty(); }
  std::string_view bytes() const { return bytes_; }  // fed, and in no frame yet

 private:
  std::string bytes_;
};

// The numbers of a frame that has `count` of them and nothing else; none otherwise.
std::optional<std::uint32_t> number_of(const Frame& frame, std::size_t index, std::size_t count);

}  // namespace vrun::vm
