// Which program is the virtual machine of a guest, and why: pure, on facts.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "vm/kvm_probe.hpp"

namespace vrun::vm {

enum class Engine : std::uint8_t {
  kKvm,   // our own VMM
  kQemu,  // QEMU's emulation of a processor
};
const char* to_text(Engine engine);
inline constexpr std::array<std::string_view, 2> kEngineNames{"kvm", "qemu"};
constexpr auto json_names(const Engine*) {
  return std::span(kEngineNames);
}

struct EngineFacts {
  KvmFacts kvm;
  std::string vmm;   // path of vrun-vmm; empty: not installed
  std::string qemu;  // path of qemu-system-x86_64; empty: not installed
};

struct EngineChoice {
  Engine engine;
  std::string reason;  // a half sentence: "KVM runs stock kernels here"
};

// kUnsupported with what is missing and the remedy where neither can be.
Result<EngineChoice> choose_engine(const EngineFacts& facts);

}  // namespace vrun::vm
