#include "images/charge.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/fs.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "images/holdings.hpp"

namespace vrun::images {
namespace {

constexpr const char* kSizes = "images/sizes";
constexpr const char* kCharged = "images/charged";
constexpr std::size_t kNumberBytes = 32;

Result<std::uint64_t> read_number(const std::string& path) {
  const std::string text =
      TRY(fs::read_file(At::cwd(), path, kNumberBytes, fs::Kind::kRegularOnly));
  if (const auto number = parse_u64(trim(text))) return *number;
  return Error(Code::kInvalid, quote(path) + ": no number");
}

Result<void> write_number(const std::string& data_dir, const char* folder, const std::string& name,
                          std::uint64_t number) {
  const std::string path = fs::join(data_dir, folder);
  TRY(fs::make_dirs(At::cwd(), path, 0700));
  const Fd dir = TRY(sys::open_dir(At::cwd(), path));
  return fs::replace_file(dir, name, std::to_string(number) + "\n", 0600);
}

std::uint64_t count_entries(At at, const std::string& name) {
  const Result<Fd> dir = sys::open(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (!dir) return 1;
  std::uint64_t entries = 1;
  const Result<std::vector<std::string>> names = sys::list_dir(dir->get());
  if (!names) return entries;
  for (const std::string& one : *names) {
    const Result<struct stat> st = sys::stat(*dir, one, AT_SYMLINK_NOFOLLOW);
    entries += st && S_ISDIR(st->st_mode) ? count_entries(*dir, one) : 1;
  }
  return entries;
}

std::uint64_t charge_of_layer(const Store& store, const std::string& hex) {
  if (!store.has_layer({"sha256", hex})) return 0;
  const std::string note = fs::join(store.data_dir(), std::string(kSizes) + "/" + hex);
  if (const Result<std::uint64_t> known = read_number(note)) return *known;
  const std::uint64_t bytes =
      tree_bytes(store.layers(), hex) + kEntryCharge * count_entries(store.layers(), hex);
  // A full disk forgets it: the next who asks looks again.
  static_cast<void>(write_number(store.data_dir(), kSizes, hex, bytes));
  return bytes;
}

}  // namespace

std::uint64_t charge_of(const Store& store, const Content& content) {
  std::uint64_t sum = 0;
  for (const std::string& hex : content.blobs) {
    const Result<struct stat> st = sys::stat(store.blobs(), hex, AT_SYMLINK_NOFOLLOW);
    if (st) sum += kEntryCharge + charge_of_bytes(static_cast<std::uint64_t>(st->st_size));
  }
  for (const std::string& hex : content.layers)
    sum += charge_of_layer(store, hex);
  return sum;
}

Result<std::uint64_t> charged(const Store& store, const std::string& tenant,
                              const std::vector<Image>& shipped) {
  Content content = TRY(Holdings::of(store, tenant)).content();
  for (const Image& image : shipped) {
    Content free;
    free.add(image);
    content.remove(free);
  }
  return charge_of(store, content);
}

Result<std::uint64_t> note_charge(const Store& store, const std::string& tenant,
                                  const std::vector<Image>& shipped) {
  const std::uint64_t sum = TRY(charged(store, tenant, shipped));
  if (noted_charge(store.data_dir(), tenant) == sum) return sum;
  TRY(write_number(store.data_dir(), kCharged, tenant, sum));
  return sum;
}

std::uint64_t noted_charge(const std::string& data_dir, const std::string& tenant) {
  return read_number(fs::join(data_dir, std::string(kCharged) + "/" + tenant)).value_or(0);
}

void forget_charge(const std::string& data_dir, const std::string& tenant) {
  const Result<Fd> dir = sys::open_dir(At::cwd(), fs::join(data_dir, kCharged));
  if (dir) static_cast<void>(sys::unlink(*dir, tenant));
}

void note_all_charges(const Store& store, const std::vector<Image>& shipped) {
  const Result<Fd> dir = sys::open_dir(At::cwd(), fs::join(store.data_dir(), kCharged));
  const Result<std::vector<std::string>> tenants =
      dir ? sys::list_dir(dir->get()) : std::vector<std::string>();
  if (!tenants) return;
  for (const std::string& tenant : *tenants)
    static_cast<void>(note_charge(store, tenant, shipped));
}

void forget_size(const Store& store, const std::string& layer) {
  const Result<Fd> dir = sys::open_dir(At::cwd(), fs::join(store.data_dir(), kSizes));
  if (dir) static_cast<void>(sys::unlink(*dir, layer));
}

}  // namespace vrun::images
