#include "steps/builder.hpp"

#include <cerrno>
#include <cstring>

#include <sys/mman.h>
#include <unistd.h>

#include "base/sys.hpp"

namespace vrun::steps {

Result<Builder> Builder::create(std::size_t bytes) {
  // A memory file and not anonymous memory: the stage maps it again after its exec.
  Fd block = TRY(sys::memfd("vrun-program"));
  if (::ftruncate(block.get(), static_cast<off_t>(bytes)) != 0)
    return Error::system(errno, "size the program block");
  void* base = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, block.get(), 0);
  if (base == MAP_FAILED) return Error::system(errno, "map the program block");
  return Builder(std::move(block), base, bytes);
}

Builder::Builder(Fd block, void* base, std::size_t bytes)
    : block_(std::move(block)), base_(static_cast<char*>(base)), bytes_(bytes) {
  program_ = static_cast<Program*>(allocate(sizeof(Program), alignof(Program)));
  program_->magic = kProgramMagic;
  program_->version = kProgramVersion;
  program_->block_address = reinterpret_cast<std::uint64_t>(base_);
  program_->block_bytes = bytes_;
  steps_.reserve(128);
  origins_.reserve(128);
}

Builder::Builder(Builder&& other) noexcept
    : block_(std::move(other.block_)),
      base_(std::exchange(other.base_, nullptr)),
      bytes_(other.bytes_),
      used_(other.used_),
      overflowed_(other.overflowed_),
      program_(std::exchange(other.program_, nullptr)),
      steps_(std::move(other.steps_)),
      origins_(std::move(other.origins_)),
      inherited_(std::move(other.inherited_)),
      owned_(std::move(other.owned_)) {}

Builder::~Builder() {
  if (base_ != nullptr) ::munmap(base_, bytes_);
}

void* Builder::allocate(std::size_t bytes, std::size_t alignment) {
  const std::size_t start = (used_ + alignment - 1) / alignment * alignment;
  if (start > bytes_ || bytes > bytes_ - start) {
    overflowed_ = true;
    return nullptr;
  }
  used_ = start + bytes;
  return base_ + start;
}

void Builder::copy(void* to, const void* from, std::size_t bytes) {
  if (to != nullptr && bytes != 0) std::memcpy(to, from, bytes);
}

Text Builder::text(std::string_view value) {
  char* at = static_cast<char*>(allocate(value.size() + 1, 1));
  if (at == nullptr) return "";
  copy(at, value.data(), value.size());
  at[value.size()] = '\0';
  return at;
}

const Text* Builder::text_array(std::span<const std::string> values) {
  std::vector<Text> texts;
  texts.reserve(values.size() + 1);
  for (const std::string& value : values)
    texts.push_back(text(value));
  texts.push_back(nullptr);
  return array(std::span<const Text>(texts)).data;
}

uint32_t Builder::append(Op op, const void* args, Origin origin) {
  const auto index = static_cast<uint32_t>(steps_.size());
  steps_.push_back(Step{op, 0, index, args});
  origins_.push_back(std::move(origin));
  return index;
}

int Builder::inherit(Fd fd) {
  const int number = fd.get();
  owned_.push_back(std::move(fd));
  return inherit_borrowed(number);
}

int Builder::inherit_borrowed(int fd) {
  if (fd >= 0) inherited_.push_back(fd);
  return fd;
}

Program* Builder::finish() {
  append(Op::kEnd, nullptr, {});
  const Span<Step> steps = array(std::span<const Step>(steps_));
  if (overflowed_) return nullptr;
  program_->steps = steps.data;
  program_->step_count = steps.count;
  program_->block_fd = inherit_borrowed(block_.get());
  return program_;
}

std::string Builder::dump() const {
  std::string out;
  for (const Step& step : steps_) {
    if (step.op == Op::kEnd) continue;
    out += describe(step);
    if (!origins_[step.index].where.empty()) out += "  (" + origins_[step.index].where + ")";
    out += '\n';
  }
  return out;
}

}  // namespace vrun::steps
