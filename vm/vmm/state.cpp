#include "vm/vmm/state.hpp"

#include <array>

#include "base/digest.hpp"
#include "base/sys.hpp"

namespace vrun::vmm {
namespace {

constexpr std::string_view kMark = "vrun machine\n\x1a\x04\x00";
constexpr std::size_t kDigest = 64;

struct Header {
  std::array<char, 16> mark{};
  std::uint32_t version = kStateVersion, reserved = 0;
  std::uint64_t size = 0;
  std::array<char, kDigest> digest{};
};

Result<void> read_exactly(const Fd& file, std::span<char> to) {
  while (!to.empty()) {
    const std::size_t got = TRY(sys::read(file.get(), to));
    if (got == 0) return Error(Code::kInvalid, "the machine's state ends too early");
    to = to.subspan(got);
  }
  return {};
}

}  // namespace

Result<std::string> StateReader::get_text(std::size_t most) {
  const std::uint32_t size = TRY(get<std::uint32_t>());
  if (size > most) return Error(Code::kInvalid, "the machine's state has a text that is too long");
  if (size > rest_.size()) return too_short();
  std::string text(rest_.substr(0, size));
  rest_.remove_prefix(size);
  return text;
}

Result<void> StateReader::section(const char (&name)[5]) {
  if (!rest_.starts_with(std::string_view(name, 4)))
    return Error(Code::kInvalid,
                 "the machine's state has no section '" + std::string(name) + "' where one is due");
  rest_.remove_prefix(4);
  return {};
}

Result<void> write_state(const Fd& file, std::string_view state) {
  Header header;
  kMark.copy(header.mark.data(), header.mark.size());
  header.size = state.size();
  sha256_hex(state).copy(header.digest.data(), header.digest.size());
  TRY(sys::write_all(file.get(), {reinterpret_cast<const char*>(&header), sizeof header}));
  return sys::write_all(file.get(), state);
}

Result<std::string> read_state(const Fd& file) {
  Header header, wanted;
  kMark.copy(wanted.mark.data(), wanted.mark.size());
  TRY(read_exactly(file, {reinterpret_cast<char*>(&header), sizeof header}));
  if (header.mark != wanted.mark) return Error(Code::kInvalid, "the file is no state of a machine");
  if (header.version != kStateVersion)
    return Error(Code::kUnsupported,
                 "the machine's state has version " + std::to_string(header.version) +
                     " of its format; this vrun knows version " + std::to_string(kStateVersion));
  if (header.size > kMostState)
    return Error(Code::kInvalid, "the machine's state is larger than any is");
  std::string state(header.size, '\0');
  TRY(read_exactly(file, state));
  if (sha256_hex(state) != std::string_view(header.digest.data(), header.digest.size()))
    return Error(Code::kInvalid, "the machine's state is damaged: its digest is another");
  return state;
}

}  // namespace vrun::vmm
