#include "images/transfer/archive_writer.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>

#include <fcntl.h>
#include <unistd.h>

#include "base/fs.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"

namespace vrun::images {
namespace {

constexpr std::size_t kBlock = 512;

Result<void> copy_exactly(const Fd& from, const Fd& to, std::uint64_t size) {
  std::array<char, 131072> buffer;
  std::uint64_t left = size;
  while (left > 0) {
    const std::size_t want = std::min<std::uint64_t>(left, buffer.size());
    const std::size_t n = TRY(sys::read(from.get(), std::span(buffer).first(want)));
    if (n == 0) return Error(Code::kState, "a file became shorter while it was read");
    TRY(sys::write_all(to.get(), {buffer.data(), n}));
    left -= n;
  }
  return {};
}

using Header = std::array<char, kBlock>;

// Octal digits with a NUL, at the field's place.
void put_octal(Header& header, std::size_t at, std::size_t width, std::uint64_t value) {
  for (std::size_t i = width - 1; i-- > 0; value >>= 3U)
    header[at + i] = static_cast<char>('0' + (value & 7U));
}

// GNU's and star's form for sizes that octal digits cannot hold.
void put_binary(Header& header, std::size_t at, std::size_t width, std::uint64_t value) {
  for (std::size_t i = width; i-- > 1; value >>= 8U)
    header[at + i] = static_cast<char>(value & 0xFFU);
  header[at] = static_cast<char>(0x80);
}

// The fields of POSIX.1-1988's ustar header, by their offsets.
Header header_of(const std::string& path, std::uint64_t size) {
  Header header{};
  std::memcpy(header.data(), path.data(), std::min<std::size_t>(path.size(), 100));
  put_octal(header, 100, 8, 0644);
  put_octal(header, 108, 8, 0);
  put_octal(header, 116, 8, 0);
  constexpr std::uint64_t kMostOctal = 077777777777;
  if (size <= kMostOctal) {
    put_octal(header, 124, 12, size);
  } else {
    put_binary(header, 124, 12, size);
  }
  put_octal(header, 136, 12, 0);
  std::memset(&header[148], ' ', 8);  // the checksum counts itself as blanks
  header[156] = '0';
  std::memcpy(&header[257], "ustar\00000", 8);
  unsigned sum = 0;
  for (const char byte : header)
    sum += static_cast<unsigned char>(byte);
  put_octal(header, 148, 7, sum);
  return header;
}

class TarWriter : public ArchiveWriter {
 public:
  explicit TarWriter(const Fd& out) : out_(out) {}

  Result<void> add(const std::string& path, const std::string& bytes) override {
    TRY(begin(path, bytes.size()));
    TRY(sys::write_all(out_.get(), bytes));
    return pad(bytes.size());
  }
  Result<void> add(const std::string& path, const Fd& file, std::uint64_t size) override {
    TRY(begin(path, size));
    TRY(copy_exactly(file, out_, size));
    return pad(size);
  }
  Result<void> finish() override {
    const std::array<char, 2 * kBlock> end{};
    return sys::write_all(out_.get(), {end.data(), end.size()});
  }

 private:
  Result<void> begin(const std::string& path, std::uint64_t size) {
    const Header header = header_of(path, size);
    return sys::write_all(out_.get(), {header.data(), header.size()});
  }
  Result<void> pad(std::uint64_t size) {
    const std::array<char, kBlock> zeros{};
    const std::size_t missing = (kBlock - size % kBlock) % kBlock;
    return sys::write_all(out_.get(), {zeros.data(), missing});
  }

  const Fd& out_;
};

class FolderWriter : public ArchiveWriter {
 public:
  explicit FolderWriter(const Fd& dir) : dir_(dir) {}

  Result<void> add(const std::string& path, const std::string& bytes) override {
    const Fd file = TRY(create(path));
    return sys::write_all(file.get(), bytes);
  }
  Result<void> add(const std::string& path, const Fd& from, std::uint64_t size) override {
    const Fd file = TRY(create(path));
    return copy_exactly(from, file, size);
  }
  Result<void> finish() override { return {}; }

 private:
  Result<Fd> create(const std::string& path) {
    const std::string parent(fs::dir_name(path));
    if (parent != ".") TRY(fs::make_dirs(dir_, parent, 0755));
    return sys::open(dir_, path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0644);
  }
  const Fd& dir_;
};

}  // namespace

std::unique_ptr<ArchiveWriter> tar_writer(const Fd& out) {
  return std::make_unique<TarWriter>(out);
}

std::unique_ptr<ArchiveWriter> folder_writer(const Fd& dir) {
  return std::make_unique<FolderWriter>(dir);
}

}  // namespace vrun::images
