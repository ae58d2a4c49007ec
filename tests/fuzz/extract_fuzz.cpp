// Layers, which come from strangers: whatever a tar says, nothing beside the layer's directory
// changes, and what is left can be removed.
#include <cstring>
#include <string>

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/fs.hpp"
#include "base/sys.hpp"
#include "images/transfer/extract.hpp"
#include "tests/fuzz/fuzz.hpp"

namespace {

using namespace vrun;

class Bytes : public images::ByteSource {
 public:
  explicit Bytes(std::string_view bytes) : left_(bytes) {}
  Result<std::size_t> read(std::span<char> buffer) override {
    const std::size_t n = std::min(buffer.size(), left_.size());
    std::memcpy(buffer.data(), left_.data(), n);
    left_.remove_prefix(n);
    return n;
  }

 private:
  std::string_view left_;
};

// In memory: thousands of runs a second. Gone at the end of the program.
class Folder {
 public:
  Folder() {
    fuzz::require(::mkdtemp(name_.data()) != nullptr);
    fd_ = *sys::open_dir(At::cwd(), name_);
  }
  ~Folder() { static_cast<void>(fs::remove_tree(At::cwd(), name_)); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  const Fd& fd() const { return fd_; }

 private:
  std::string name_ = "/dev/shm/vrun-fuzz-XXXXXX";
  Fd fd_;
};

const Fd& folder() {
  static const Folder made;
  return made.fd();
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::require(sys::make_dir(folder(), "layer", 0755).has_value());
  const Fd layer = *sys::open_dir(folder(), "layer");
  images::ExtractOptions options;
  options.privileged = false;
  options.layer = size % 2 == 0;
  options.limits.entries = 1000;
  options.limits.bytes = 1U << 20U;
  Bytes source(fuzz::text_of(data, size));
  static_cast<void>(images::extract_layer(source, layer, options));
  fuzz::require(sys::list_dir(folder().get())->size() == 1);
  fuzz::require(fs::remove_tree(folder(), "layer").has_value());
  return 0;
}
