#include "vm/kernel_choice.hpp"

#include <algorithm>
#include <string_view>

namespace vrun::vm {
namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

std::string_view take_number(std::string_view& text) {
  std::size_t end = 0;
  while (end < text.size() && is_digit(text[end]))
    ++end;
  std::string_view number = text.substr(0, end);
  text.remove_prefix(end);
  while (number.size() > 1 && number[0] == '0')
    number.remove_prefix(1);
  return number;
}

// "6.1.0-28" of "6.1.0-28-cloud-amd64".
std::string version_of(const std::string& release) {
  for (std::size_t at = release.find('-'); at != release.npos; at = release.find('-', at + 1)) {
    if (at + 1 < release.size() && !is_digit(release[at + 1])) return release.substr(0, at);
  }
  return release;
}

bool has_word(const HostKernel& kernel, std::string_view word) {
  return ("-" + kernel.release + "-").find("-" + std::string(word) + "-") != std::string::npos;
}

}  // namespace

bool is_older(const std::string& a, const std::string& b) {
  std::string_view left = a, right = b;
  while (!left.empty() && !right.empty()) {
    if (is_digit(left[0]) && is_digit(right[0])) {
      const std::string_view one = take_number(left), other = take_number(right);
      if (one.size() != other.size()) return one.size() < other.size();
      if (one != other) return one < other;
      continue;
    }
    if (left[0] != right[0]) return left[0] < right[0];
    left.remove_prefix(1);
    right.remove_prefix(1);
  }
  return left.size() < right.size();
}

void sort_kernels(std::vector<HostKernel>& kernels) {
  std::sort(kernels.begin(), kernels.end(), [](const HostKernel& a, const HostKernel& b) {
    const std::string one = version_of(a.release), other = version_of(b.release);
    if (one != other) return is_older(other, one);
    if (has_word(a, "cloud") != has_word(b, "cloud")) return has_word(a, "cloud");
    return is_older(a.release, b.release);
  });
}

const HostKernel* default_kernel(const std::vector<HostKernel>& sorted) {
  for (const HostKernel& kernel : sorted) {
    if (!kernel.modules.empty() && !has_word(kernel, "rt")) return &kernel;
  }
  return nullptr;
}

}  // namespace vrun::vm
