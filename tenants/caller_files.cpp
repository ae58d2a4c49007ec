#include "tenants/caller_files.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <optional>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/sys.hpp"

namespace vrun::tenants {
namespace {

// Records of: a letter, then as many texts as the letter has, each behind its length in four bytes
// (lowest first). Texts are bytes: a secret may be no UTF-8.
constexpr char kEnv = 'e', kFile = 'f', kCopy = 'c';
constexpr int kSeals = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW;

void put(std::string& out, std::string_view text) {
  for (unsigned shift = 0; shift < 32; shift += 8)
    out += static_cast<char>((text.size() >> shift) & 0xFFU);
  out += text;
}

class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes) {}

  bool at_end() const { return rest_.empty(); }
  char letter() {
    const char letter = rest_[0];
    rest_.remove_prefix(1);
    return letter;
  }
  Result<std::string> text() {
    std::size_t size = 0;
    if (rest_.size() < 4) return cut();
    for (std::size_t i = 0; i < 4; ++i)
      size |= static_cast<std::size_t>(static_cast<unsigned char>(rest_[i])) << (8 * i);
    rest_.remove_prefix(4);
    if (size > rest_.size()) return cut();
    std::string text(rest_.substr(0, size));
    rest_.remove_prefix(size);
    return text;
  }
  static Error cut() { return Error(Code::kInvalid, "the caller's files are cut"); }

 private:
  std::string_view rest_;
};

Result<void> read_record(Reader& reader, CallerFiles& files) {
  switch (reader.letter()) {
    case kEnv:
      files.env.push_back(TRY(reader.text()));
      return {};
    case kFile: {
      CallerFile file;
      file.asked = TRY(reader.text());
      file.name = TRY(reader.text());
      file.text = TRY(reader.text());
      files.files.push_back(std::move(file));
      return {};
    }
    case kCopy: {
      CallerCopy copy;
      copy.name = TRY(reader.text());
      copy.directory = TRY(reader.text()) == "directory";
      files.copies.push_back(std::move(copy));
      return {};
    }
    default:
      return Error(Code::kInvalid, "the caller's files have a record that nobody knows");
  }
}

}  // namespace

bool CallerFiles::has(std::string_view asked) const {
  return std::any_of(files.begin(), files.end(),
                     [&](const CallerFile& file) { return file.asked == asked; });
}

std::string to_bytes(const CallerFiles& files) {
  std::string out;
  for (const std::string& entry : files.env) {
    out += kEnv;
    put(out, entry);
  }
  for (const CallerFile& file : files.files) {
    out += kFile;
    put(out, file.asked);
    put(out, file.name);
    put(out, file.text);
  }
  for (const CallerCopy& copy : files.copies) {
    out += kCopy;
    put(out, copy.name);
    put(out, copy.directory ? "directory" : "file");
  }
  return out;
}

Result<CallerFiles> parse_caller_files(std::string_view bytes) {
  CallerFiles files;
  Reader reader(bytes);
  while (!reader.at_end())
    TRY(read_record(reader, files));
  if (files.copies.size() <= 1) return files;
  return Error(Code::kInvalid, "the caller's files name two copies");
}

Result<Fd> to_memfd(const CallerFiles& files) {
  const std::string bytes = to_bytes(files);
  if (bytes.size() > kMostCallerBytes)
    return Error(Code::kInvalid, "the files of one call are larger than 20 MiB together");
  Fd memory = TRY(sys::memfd("vrun-caller"));
  TRY(sys::write_all(memory.get(), bytes));
  TRY(sys::seal(memory.get()));
  return memory;
}

Result<CallerFiles> read_caller_files(int fd) {
  const int seals = ::fcntl(fd, F_GET_SEALS);
  if (seals < 0 || (seals & kSeals) != kSeals)
    return Error(Code::kDenied, "the caller's files are not in a sealed memfd");
  const struct stat st = TRY(sys::stat(fd));
  if (st.st_size < 0 || static_cast<std::size_t>(st.st_size) > kMostCallerBytes)
    return Error(Code::kInvalid, "the caller's files are larger than 20 MiB together");
  std::string bytes(static_cast<std::size_t>(st.st_size), '\0');
  std::size_t at = 0;
  // By position: the offset is the caller's, too.
  while (at < bytes.size()) {
    const ssize_t n = ::pread(fd, bytes.data() + at, bytes.size() - at, static_cast<off_t>(at));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return Error::system(errno, "read the caller's files");
    if (n == 0) return Reader::cut();
    at += static_cast<std::size_t>(n);
  }
  return parse_caller_files(bytes);
}

}  // namespace vrun::tenants
