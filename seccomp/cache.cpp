#include "seccomp/cache.hpp"

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <linux/filter.h>
#include <seccomp.h>
#include <sys/stat.h>

#include "base/digest.hpp"
#include "base/fs.hpp"
#include "base/log.hpp"
#include "base/sys.hpp"

namespace vrun::seccomp {
namespace {

// Raise when the same rules may give another program.
constexpr std::uint32_t kCompilerVersion = 1;
constexpr std::uint32_t kFormatVersion = 1;
constexpr std::size_t kDigestBytes = 64;

struct Header {
  char magic[8];
  std::uint32_t format;
  std::uint32_t instructions;
  std::uint64_t flags;
  std::uint64_t notifies;
  char digest[kDigestBytes];  // of all the other bytes of the file
};
static_assert(sizeof(Header) == 32 + kDigestBytes);
constexpr char kMagic[8] = {'v', 'r', 'u', 'n', '-', 'b', 'p', 'f'};
constexpr std::size_t kMaxBytes = sizeof(Header) + BPF_MAXINSNS * sizeof(sock_filter);

// Beyond so many files the oldest go, down to the lower number.
constexpr std::size_t kMaxEntries = 256;
constexpr std::size_t kKeptEntries = 192;

// ---- the key ----

// Every field with its length or count before it: no two different rules give the same bytes.
class Canonical {
 public:
  void add(std::uint64_t number) {
    bytes_.append(reinterpret_cast<const char*>(&number), sizeof(number));
  }
  void add(std::string_view text) {
    add(std::uint64_t{text.size()});
    bytes_ += text;
  }
  void add(const std::vector<std::string>& list) {
    add(std::uint64_t{list.size()});
    for (const std::string& text : list)
      add(std::string_view(text));
  }
  void add(std::optional<std::uint32_t> number) {
    add(number ? std::uint64_t{*number} + 1 : std::uint64_t{0});
  }
  std::string digest() const { return sha256_hex(bytes_); }

 private:
  std::string bytes_;
};

void add_rule(Canonical& canonical, const oci::SyscallRule& rule) {
  canonical.add(rule.names);
  canonical.add(std::string_view(rule.action));
  canonical.add(rule.errno_ret);
  canonical.add(std::uint64_t{rule.args.size()});
  for (const oci::SyscallArg& arg : rule.args) {
    canonical.add(std::uint64_t{arg.index});
    canonical.add(arg.value);
    canonical.add(arg.value_two);
    canonical.add(std::string_view(arg.op));
  }
}

// ---- the folder ----

std::string folder_path(const Host& host) {
  return host.cache_dir + "/seccomp";
}

// Ours alone, or none.
std::optional<Fd> open_folder(const Host& host) {
  if (host.cache_dir.empty()) return std::nullopt;
  Result<Fd> folder =
      sys::open(At::cwd(), folder_path(host), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (!folder) return std::nullopt;
  const Result<struct stat> status = sys::stat(folder->get());
  if (!status) return std::nullopt;
  if (status->st_uid != host.euid.value || (status->st_mode & 0077U) != 0) {
    log::debug("seccomp: " + folder_path(host) + " is not ours alone, so nothing is kept there");
    return std::nullopt;
  }
  return *std::move(folder);
}

std::optional<Fd> make_folder(const Host& host) {
  if (host.cache_dir.empty()) return std::nullopt;
  if (!fs::make_dirs(At::cwd(), folder_path(host), 0700)) return std::nullopt;
  return open_folder(host);
}

// ---- the file ----

std::string digest_of(Header header, std::string_view program) {
  std::memset(header.digest, 0, sizeof(header.digest));
  std::string bytes(reinterpret_cast<const char*>(&header), sizeof(header));
  return sha256_hex(bytes.append(program));
}

std::string to_file(const Filter& filter) {
  Header header{};
  std::memcpy(header.magic, kMagic, sizeof(kMagic));
  header.format = kFormatVersion;
  header.instructions = filter.count();
  header.flags = filter.flags;
  header.notifies = filter.notifies ? 1 : 0;
  const std::string digest = digest_of(header, filter.program);
  std::memcpy(header.digest, digest.data(), std::min(digest.size(), sizeof(header.digest)));
  return std::string(reinterpret_cast<const char*>(&header), sizeof(header)) + filter.program;
}

std::optional<Filter> from_file(std::string_view bytes) {
  Header header{};
  if (bytes.size() < sizeof(header)) return std::nullopt;
  std::memcpy(&header, bytes.data(), sizeof(header));
  const std::string_view program = bytes.substr(sizeof(header));
  const bool fits = std::memcmp(header.magic, kMagic, sizeof(kMagic)) == 0 &&
                    header.format == kFormatVersion && header.notifies <= 1 &&
                    header.instructions > 0 && header.instructions <= BPF_MAXINSNS &&
                    program.size() == header.instructions * sizeof(sock_filter);
  if (!fits) return std::nullopt;
  if (digest_of(header, program) != std::string_view(header.digest, sizeof(header.digest)))
    return std::nullopt;
  return Filter{std::string(program), header.flags, header.notifies == 1};
}

std::optional<std::string> read_ours(const Fd& folder, const std::string& key, Uid owner) {
  // without blocking: it might be a fifo
  const Result<Fd> file = sys::open(folder, key, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (!file) return std::nullopt;
  const Result<struct stat> status = sys::stat(file->get());
  if (!status || !S_ISREG(status->st_mode) || status->st_uid != owner.value) return std::nullopt;
  if (status->st_size <= 0 || static_cast<std::uint64_t>(status->st_size) > kMaxBytes)
    return std::nullopt;
  std::string bytes(static_cast<std::size_t>(status->st_size), '\0');
  const Result<std::size_t> got = sys::read(file->get(), bytes);
  if (!got || *got != bytes.size()) return std::nullopt;
  return bytes;
}

void prune(const Fd& folder) {
  const Result<std::vector<std::string>> names = sys::list_dir(folder.get());
  if (!names || names->size() <= kMaxEntries) return;
  std::vector<std::pair<std::int64_t, std::string>> by_age;
  for (const std::string& name : *names) {
    const Result<struct stat> status = sys::stat(folder, name, AT_SYMLINK_NOFOLLOW);
    by_age.emplace_back(status ? status->st_mtime : 0, name);
  }
  std::sort(by_age.begin(), by_age.end());
  by_age.resize(by_age.size() - kKeptEntries);
  for (const auto& [age, name] : by_age)
    (void)sys::unlink(folder, name);  // gone already, or a folder that somebody put there
}

}  // namespace

std::string cache_key(const oci::Seccomp& seccomp) {
  Canonical canonical;
  canonical.add(std::uint64_t{kCompilerVersion});
  const scmp_version* library = seccomp_version();
  canonical.add(std::uint64_t{library->major});
  canonical.add(std::uint64_t{library->minor});
  canonical.add(std::uint64_t{library->micro});
  canonical.add(std::uint64_t{seccomp_arch_native()});
  canonical.add(std::string_view(seccomp.default_action));
  canonical.add(seccomp.default_errno_ret);
  canonical.add(seccomp.architectures);
  canonical.add(seccomp.flags);
  canonical.add(std::uint64_t{seccomp.listener_path.empty() ? 0U : 1U});
  canonical.add(std::uint64_t{seccomp.syscalls.size()});
  for (const oci::SyscallRule& rule : seccomp.syscalls)
    add_rule(canonical, rule);
  return canonical.digest();
}

std::optional<Filter> load_cached(const Host& host, const std::string& key) {
  const std::optional<Fd> folder = open_folder(host);
  if (!folder) return std::nullopt;
  const std::optional<std::string> bytes = read_ours(*folder, key, host.euid);
  return bytes ? from_file(*bytes) : std::nullopt;
}

void store_cached(const Host& host, const std::string& key, const Filter& filter) {
  const std::optional<Fd> folder = make_folder(host);
  if (!folder) return;
  const Result<void> written = fs::replace_file(*folder, key, to_file(filter));
  if (!written) {
    log::debug("seccomp: the compiled filter is not kept: " + written.error().text());
    return;
  }
  prune(*folder);
}

}  // namespace vrun::seccomp
