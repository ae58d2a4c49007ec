// A guest that does what a script in its memory says, one access after the other: reads and writes
// of memory, devices and ports as a driver makes them, and waits. What it read is kept for the
// test. At the end of its script it powers off.
#pragma once

#include <cstdint>
#include <vector>

#include "tests/unit/vmm/tiny_kernel.hpp"
#include "vm/vmm/machine.hpp"

namespace vrun::vmm {

class Script {
 public:
  static constexpr std::uint64_t kAt = 2 << 20, kResultsAt = 3 << 20;

  // `size`: 1, 2, 4 or 8 bytes.
  void write(std::uint64_t address, std::uint64_t value, unsigned size) {
    add(size == 1   ? kWrite8
        : size == 2 ? kWrite16
        : size == 4 ? kWrite32
                    : kWrite64,
        address, value);
  }
  // Answers the place of what is read among the results; 1, 2 or 4 bytes.
  std::size_t read(std::uint64_t address, unsigned size) {
    return add_read(size == 1 ? kRead8 : size == 2 ? kRead16 : kRead32, address);
  }
  void out(std::uint16_t port, std::uint8_t value) { add(kOut8, port, value); }
  void out32(std::uint16_t port, std::uint32_t value) { add(kOut32, port, value); }
  std::size_t in(std::uint16_t port) { return add_read(kIn8, port); }
  std::size_t in32(std::uint16_t port) { return add_read(kIn32, port); }
  // Until the 16 bits there are `value`; until any of these bits of 32 is set.
  void wait(std::uint64_t address, std::uint16_t value) { add(kWait16, address, value); }
  void wait_bits(std::uint64_t address, std::uint32_t bits) { add(kWaitBits, address, bits); }

  void put_into(const GuestMemory& memory) const {
    std::vector<Step> all = steps_;
    all.push_back({kEnd, 0, 0});
    for (std::size_t i = 0; i < all.size(); ++i)
      memory.write(kAt + i * sizeof(Step), all[i]);
  }
  static std::uint64_t result(const GuestMemory& memory, std::size_t place) {
    return *memory.read<std::uint64_t>(kResultsAt + 8 * place);
  }
  static Fd kernel() { return tiny_kernel(kInterpreter); }

 private:
  enum Kind : std::uint64_t {
    kEnd,
    kWrite8,
    kWrite16,
    kWrite32,
    kWrite64,
    kRead8,
    kRead16,
    kRead32,
    kOut8,
    kOut32,
    kIn8,
    kIn32,
    kWait16,
    kWaitBits,
  };
  struct Step {
    std::uint64_t kind, address, value;
  };
  void add(Kind kind, std::uint64_t address, std::uint64_t value) {
    steps_.push_back({kind, address, value});
  }
  std::size_t add_read(Kind kind, std::uint64_t address) {
    add(kind, address, 0);
    return reads_++;
  }

  // rsi: the next step; rdi: where the next result goes.
  static constexpr unsigned char kInterpreter[] = {
      0x48, 0xc7, 0xc6, 0x00, 0x00, 0x20, 0x00,  //       mov rsi, kAt
      0x48, 0xc7, 0xc7, 0x00, 0x00, 0x30, 0x00,  //       mov rdi, kResultsAt
      0x48, 0x8b, 0x06,                          // next: mov rax, [rsi]
      0x48, 0x8b, 0x5e, 0x08,                    //       mov rbx, [rsi + 8]
      0x48, 0x8b, 0x4e, 0x10,                    //       mov rcx, [rsi + 16]
      0x48, 0x83, 0xc6, 0x18,                    //       add rsi, 24
      0x48, 0x8d, 0x15, 0x0e, 0x00, 0x00, 0x00,  //       lea rdx, [table]
      0x0f, 0xb6, 0x04, 0x02,                    //       movzx eax, byte [rdx + rax]
      0x48, 0x01, 0xc2,                          //       add rdx, rax
      0x89, 0xc8,                                //       mov eax, ecx
      0x48, 0x87, 0xda,                          //       xchg rdx, rbx
      0xff, 0xe3,                                //       jmp rbx
      0x0e, 0x18, 0x1c, 0x21, 0x25, 0x2a, 0x2f,  // table: of kinds, counted from here
      0x34, 0x38, 0x3b, 0x3e, 0x44, 0x49, 0x52,  //
      0x66, 0xba, 0x00, 0x06,                    // end:  mov dx, 0x600
      0xb0, 0x34,                                //       mov al, 0x34
      0xee,                                      //       out dx, al
      0xf4, 0xeb, 0xfd,                          // stay: hlt; jmp stay
      0x88, 0x0a, 0xeb, 0xc0,                    //       mov [rdx], cl; jmp next
      0x66, 0x89, 0x0a, 0xeb, 0xbb,              //       mov [rdx], cx; jmp next
      0x89, 0x0a, 0xeb, 0xb7,                    //       mov [rdx], ecx; jmp next
      0x48, 0x89, 0x0a, 0xeb, 0xb2,              //       mov [rdx], rcx; jmp next
      0x0f, 0xb6, 0x02, 0xeb, 0x16,              //       movzx eax, byte [rdx]; jmp keep
      0x0f, 0xb7, 0x02, 0xeb, 0x11,              //       movzx eax, word [rdx]; jmp keep
      0x8b, 0x02, 0xeb, 0x0d,                    //       mov eax, [rdx]; jmp keep
      0xee, 0xeb, 0xa1,                          //       out dx, al; jmp next
      0xef, 0xeb, 0x9e,                          //       out dx, eax; jmp next
      0xec, 0x0f, 0xb6, 0xc0, 0xeb, 0x01,        //       in al, dx; movzx eax, al; jmp keep
      0xed,                                      //       in eax, dx
      0x48, 0xab, 0xeb, 0x93,                    // keep: stosq; jmp next
      0xf3, 0x90, 0x66, 0x39, 0x0a, 0x75, 0xf9,  //       pause; cmp [rdx], cx; jne back
      0xeb, 0x8a,                                //       jmp next
      0xf3, 0x90, 0x85, 0x0a, 0x74, 0xfa,        //       pause; test [rdx], ecx; je back
      0xeb, 0x82,                                //       jmp next
  };
  std::vector<Step> steps_;
  std::size_t reads_ = 0;
};

}  // namespace vrun::vmm
