// The state of a machine as bytes: what snapshots are made of.
//
// Values follow each other as the processor has them, sections begin with a mark so that a reader
// that is out of step says so at once. The bytes come from a file that may be damaged or made to
// hurt: a reader checks every length, and whoever loads a value checks what it means.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

#include "base/fd.hpp"
#include "base/result.hpp"

namespace vrun::vmm {

class StateWriter {
 public:
  template <typename T>
  void put(const T& value) {
    static_assert(std::is_trivially_copyable_v<T>);
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  void put_text(std::string_view text) {
    put(static_cast<std::uint32_t>(text.size()));
    bytes_.append(text);
  }
  // `name`: four letters.
  void section(const char (&name)[5]) { bytes_.append(name, 4); }
  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

class StateReader {
 public:
  explicit StateReader(std::string_view bytes) : rest_(bytes) {}

  template <typename T>
  Result<T> get() {
    static_assert(std::is_trivially_copyable_v<T>);
    if (rest_.size() < sizeof(T)) return too_short();
    T value;
    std::memcpy(&value, rest_.data(), sizeof value);
    rest_.remove_prefix(sizeof value);
    return value;
  }
  Result<bool> get_flag() { return TRY(get<std::uint8_t>()) != 0; }
  // kInvalid for more than `most` bytes.
  Result<std::string> get_text(std::size_t most);
  Result<void> section(const char (&name)[5]);
  bool at_end() const { return rest_.empty(); }

 private:
  static Error too_short() { return Error(Code::kInvalid, "the machine's state ends too early"); }
  std::string_view rest_;
};

// The file: a mark, the format's version, the length, a SHA-256 of what follows, and that. At the
// descriptor's position.
inline constexpr std::uint32_t kStateVersion = 1;
inline constexpr std::size_t kMostState = 64 << 20;
Result<void> write_state(const Fd& file, std::string_view state);
// kInvalid: no such file, or damaged; kUnsupported: of another version.
Result<std::string> read_state(const Fd& file);

}  // namespace vrun::vmm
