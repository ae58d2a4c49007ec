#include "images/transfer/unpack_guest.hpp"

#include <array>

#include <unistd.h>

#include "images/transfer/confined.hpp"
#include "images/transfer/extract.hpp"
#include "images/transfer/sniff.hpp"

namespace vrun::images {
namespace {

Result<Extracted> extract(const Fd& input, const Fd& directory, const ExtractOptions& options) {
  FdSource bytes(input);
  Sniffer sniffer(bytes);
  const Compression compression = TRY(sniffer.compression());
  const std::unique_ptr<Decompressor> plain = TRY(Decompressor::create(sniffer, compression));
  const Extracted counts = TRY(extract_layer(*plain, directory, options));
  if (counts.entries == 0) return Error(Code::kInvalid, "the archive is empty");
  std::array<char, 65536> rest{};  // a writer at the other end must not meet a closed pipe
  while (TRY(plain->read(rest)) > 0) {
  }
  return counts;
}

void tell(std::uint64_t count, const char* what, std::vector<std::string>& warnings) {
  if (count > 0) warnings.push_back(std::to_string(count) + " " + what);
}

}  // namespace

Result<void> unpack_guest(const Fd& input, const Fd& directory,
                          std::vector<std::string>& warnings) {
  ExtractOptions options;
  options.privileged = ::geteuid() == 0;
  const std::array<int, 2> keep{input.get(), directory.get()};
  Confined child = TRY(Confined::start(keep, options.privileged, "guest import",
                                       [&] { return extract(input, directory, options); }));
  Result<Extracted> done = child.finish();
  if (!done) {
    return std::move(done).error().hint("it is damaged, or none of `vrun guest export`");
  }
  tell(done->devices_left_out, "device nodes left out", warnings);
  tell(done->owners_left_out, "files belong to root: their owners are not among our ids", warnings);
  tell(done->attributes_left_out, "access lists or security labels left out", warnings);
  return {};
}

}  // namespace vrun::images
