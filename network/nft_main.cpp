// vrun-net: runs one nft transaction from stdin; what nft says about it goes to stderr.
//
// A program of its own because libnftables is a shared library of some weight, which guests without
// published ports never need. Exit codes: 0 done, 1 refused (nothing was changed), 125 otherwise.
#include <array>
#include <cstdio>
#include <string>

#include <nftables/libnftables.h>
#include <unistd.h>

namespace {

constexpr int kRefused = 1;
constexpr int kOwnFailure = 125;
constexpr std::size_t kMost = 64U << 20U;

bool read_input(std::string& text) {
  std::array<char, 65536> buffer;
  ssize_t n = 0;
  while ((n = ::read(STDIN_FILENO, buffer.data(), buffer.size())) > 0) {
    text.append(buffer.data(), static_cast<std::size_t>(n));
    if (text.size() > kMost) return false;
  }
  return n == 0;
}

}  // namespace

int main() {
  std::string text;
  if (!read_input(text)) {
    std::fputs("vrun-net: cannot read the rules from stdin\n", stderr);
    return kOwnFailure;
  }
  nft_ctx* nft = nft_ctx_new(NFT_CTX_DEFAULT);
  if (nft == nullptr) {
    std::fputs("vrun-net: no memory\n", stderr);
    return kOwnFailure;
  }
  const int result = nft_run_cmd_from_buffer(nft, text.c_str());
  nft_ctx_free(nft);
  return result == 0 ? 0 : kRefused;
}
