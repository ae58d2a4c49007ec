#include "vm/agent/frames.hpp"

#include <cstring>

namespace vrun::vm {
namespace {

constexpr std::size_t kHeader = 5;

std::size_t most_of(FrameType type) {
  switch (type) {
    case FrameType::kHello:
    case FrameType::kStarted:
    case FrameType::kSignal:
    case FrameType::kOutputEnd:
    case FrameType::kMemoryKills:
    case FrameType::kInputTaken:
      return 4;
    case FrameType::kResize:
    case FrameType::kExit:
      return 8;
    case FrameType::kInputEnd:
      return 0;
    case FrameType::kInput:
    case FrameType::kOutput:
    case FrameType::kErrors:
      return kMostStream;
    case FrameType::kRun:
    case FrameType::kExec:
    case FrameType::kCall:
    case FrameType::kAdopt:
    case FrameType::kAnswer:
    case FrameType::kError:
      return kMostContent;
  }
  return 0;
}

bool is_type(std::uint8_t value) {
  return value >= static_cast<std::uint8_t>(FrameType::kHello) &&
         value <= static_cast<std::uint8_t>(FrameType::kInputTaken);
}

}  // namespace

std::string encode(FrameType type, std::string_view content) {
  const auto length = static_cast<std::uint32_t>(content.size());
  std::string bytes(kHeader, '\0');
  std::memcpy(bytes.data(), &length, sizeof length);
  bytes[4] = static_cast<char>(type);
  return bytes.append(content);
}

std::string encode_numbers(FrameType type, std::initializer_list<std::uint32_t> numbers) {
  std::string content;
  for (const std::uint32_t number : numbers)
    content.append(reinterpret_cast<const char*>(&number), sizeof number);
  return encode(type, content);
}

Result<std::optional<Frame>> FrameReader::next() {
  if (bytes_.size() < kHeader) return std::optional<Frame>();
  std::uint32_t length = 0;
  std::memcpy(&length, bytes_.data(), sizeof length);
  const auto type = static_cast<std::uint8_t>(bytes_[4]);
  if (!is_type(type))
    return Error(Code::kInvalid, "the other side sent a frame of type " + std::to_string(type));
  if (length > most_of(static_cast<FrameType>(type)))
    return Error(Code::kInvalid, "the other side sent a frame of type " + std::to_string(type) +
                                     " with " + std::to_string(length) + " bytes");
  if (bytes_.size() < kHeader + length) return std::optional<Frame>();
  Frame frame{.type = static_cast<FrameType>(type), .content = bytes_.substr(kHeader, length)};
  bytes_.erase(0, kHeader + length);
  return std::optional<Frame>(std::move(frame));
}

std::optional<std::uint32_t> number_of(const Frame& frame, std::size_t index, std::size_t count) {
  std::uint32_t number = 0;
  if (frame.content.size() != count * sizeof number || index >= count) return std::nullopt;
  std::memcpy(&number, frame.content.data() + index * sizeof number, sizeof number);
  return number;
}

}  // namespace vrun::vm
