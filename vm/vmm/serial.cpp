#include "vm/vmm/serial.hpp"

namespace vrun::vmm {
namespace {

// Registers and their bits, by the names of the chip's data sheet.
enum Register : std::uint64_t { kData, kIer, kIir, kLcr, kMcr, kLsr, kMsr, kScr };
constexpr std::uint8_t kIerReceive = 1, kIerTransmit = 2;
constexpr std::uint8_t kIirNone = 1, kIirTransmit = 2, kIirReceive = 4, kIirFifo = 0xc0;
constexpr std::uint8_t kLcrDivisor = 0x80, kMcrLoop = 0x10;
constexpr std::uint8_t kLsrReady = 1, kLsrEmpty = 0x60;  // transmitter and its register empty
constexpr std::uint8_t kMsrConnected = 0xb0;             // carrier, ready, clear to send

}  // namespace

std::size_t Serial::type(std::string_view bytes) {
  const std::lock_guard guard(lock_);
  const std::size_t room = kMost - std::min(kMost, input_.size());
  const std::size_t count = std::min(room, bytes.size());
  for (const char byte : bytes.substr(0, count))
    input_.push_back(static_cast<std::uint8_t>(byte));
  update_interrupt();
  return count;
}

void Serial::say_from_host(std::string_view message) {
  flush();
  const std::lock_guard guard(lock_);
  out_(message);
}

void Serial::flush() {
  const std::lock_guard guard(lock_);
  if (!line_.empty()) out_(line_);
  line_.clear();
}

void Serial::read(std::uint64_t offset, std::span<std::uint8_t> bytes) {
  const std::lock_guard guard(lock_);
  put_number(bytes, load(offset));
}

void Serial::write(std::uint64_t offset, std::span<const std::uint8_t> bytes) {
  const std::lock_guard guard(lock_);
  store(offset, bytes[0]);
}

std::uint8_t Serial::load(std::uint64_t offset) {
  switch (offset) {
    case kData: {
      if ((line_control_ & kLcrDivisor) != 0) return divisor_low_;
      if (input_.empty()) return 0;
      const std::uint8_t byte = input_.front();
      input_.pop_front();
      update_interrupt();
      return byte;
    }
    case kIer:
      return (line_control_ & kLcrDivisor) != 0 ? divisor_high_ : interrupts_;
    case kIir:
      if ((interrupts_ & kIerReceive) != 0 && !input_.empty()) return kIirFifo | kIirReceive;
      if ((interrupts_ & kIerTransmit) != 0 && transmit_empty_) {
        transmit_empty_ = false;  // reading this register is what acknowledges it
        return kIirFifo | kIirTransmit;
      }
      return kIirFifo | kIirNone;
    case kLcr:
      return line_control_;
    case kMcr:
      return modem_control_;
    case kLsr:
      return static_cast<std::uint8_t>(kLsrEmpty | (input_.empty() ? 0 : kLsrReady));
    case kMsr:
      if ((modem_control_ & kMcrLoop) != 0)  // outputs are wired to inputs
        return static_cast<std::uint8_t>(((modem_control_ & 0x0c) << 4) |
                                         ((modem_control_ & 0x01) << 5) |
                                         ((modem_control_ & 0x02) << 3));
      return kMsrConnected;
    default:
      return scratch_;
  }
}

void Serial::store(std::uint64_t offset, std::uint8_t value) {
  switch (offset) {
    case kData:
      if ((line_control_ & kLcrDivisor) != 0) {
        divisor_low_ = value;
      } else if ((modem_control_ & kMcrLoop) != 0) {
        if (input_.size() < kMost) input_.push_back(value);
        update_interrupt();
      } else {
        say(value);
        transmit_empty_ = true;
        update_interrupt();
      }
      return;
    case kIer:
      if ((line_control_ & kLcrDivisor) != 0) {
        divisor_high_ = value;
        return;
      }
      if ((value & ~interrupts_ & kIerTransmit) != 0) transmit_empty_ = true;
      interrupts_ = value & 0x0f;
      update_interrupt();
      return;
    case kIir:  // the FIFO's control when written
      if ((value & 0x02) != 0) input_.clear();
      return;
    case kLcr:
      line_control_ = value;
      return;
    case kMcr:
      modem_control_ = value & 0x1f;
      return;
    case kScr:
      scratch_ = value;
      return;
    default:
      return;
  }
}

void Serial::save(StateWriter& to) {
  const std::lock_guard guard(lock_);
  to.section("UART");
  to.put_text(std::string(input_.begin(), input_.end()));
  for (const std::uint8_t value :
       {interrupts_, line_control_, modem_control_, scratch_, divisor_low_, divisor_high_})
    to.put(value);
  to.put(static_cast<std::uint8_t>(transmit_empty_ ? 1 : 0));
}

Result<void> Serial::load(StateReader& from) {
  const std::lock_guard guard(lock_);
  TRY(from.section("UART"));
  const std::string typed = TRY(from.get_text(kMost));
  input_.assign(typed.begin(), typed.end());
  for (std::uint8_t* const value :
       {&interrupts_, &line_control_, &modem_control_, &scratch_, &divisor_low_, &divisor_high_})
    *value = TRY(from.get<std::uint8_t>());
  transmit_empty_ = TRY(from.get_flag());
  return {};
}

void Serial::say(std::uint8_t byte) {
  line_.push_back(static_cast<char>(byte));
  // A prompt has no end of line: whoever waits for input has said all (see flush()).
  if (byte != '\n' && line_.size() < kMost) {
    if (line_.size() == 1 && held_) held_();
    return;
  }
  out_(line_);
  line_.clear();
}

void Serial::update_interrupt() {
  const bool receives = (interrupts_ & kIerReceive) != 0 && !input_.empty();
  const bool sends = (interrupts_ & kIerTransmit) != 0 && transmit_empty_;
  if (receives || sends) raise_();
}

}  // namespace vrun::vmm
