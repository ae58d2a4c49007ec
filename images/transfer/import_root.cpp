// `vrun import`: a tar of a root file system becomes an image of one layer.
#include <array>
#include <ctime>

#include <fcntl.h>
#include <unistd.h>

#include "base/sys.hpp"
#include "base/text.hpp"
#include "images/changes.hpp"
#include "images/names.hpp"
#include "images/platform.hpp"
#include "images/transfer/archive_verbs.hpp"
#include "images/transfer/confined.hpp"
#include "images/transfer/import.hpp"
#include "images/transfer/new_image.hpp"
#include "images/transfer/sniff.hpp"
#include "images/transfer/spool.hpp"

namespace vrun::images {
namespace {

Result<Extracted> inflate(const Fd& input, const Fd& out, Meter* meter) {
  FdSource bytes(input);
  Sniffer sniffer(bytes);
  const Compression compression = TRY(sniffer.compression());
  const std::unique_ptr<Decompressor> plain = TRY(Decompressor::create(sniffer, compression));
  const std::uint64_t limit = ExtractLimits().bytes;
  Extracted counts;
  std::array<char, 131072> buffer;
  while (const std::size_t n = TRY(plain->read(buffer))) {
    counts.bytes += n;
    if (counts.bytes > limit) {
      return Error(Code::kInvalid, "larger than " + std::to_string(limit) + " bytes");
    }
    TRY(take(meter, n));
    TRY(sys::write_all(out.get(), {buffer.data(), n}));
  }
  return counts;
}

}  // namespace

Result<int> import_root(const Store& store, const ArchiveRequest& request, Meter* meter) {
  NewImage image;
  image.created = now_text();
  image.config.os = "linux";
  image.config.architecture = machine_platform().architecture;
  image.created_by = "vrun import";
  image.how = "imported";
  image.event = "import";
  image.comment = request.message;
  TRY(apply_changes(image.config, request.changes));
  if (!request.images.empty()) image.name = TRY(oci::Reference::parse(request.images.front()));

  const std::string what = request.file.empty() ? "stdin" : quote(request.file);
  const Fd input = TRY(request.file.empty() ? sys::duplicate(STDIN_FILENO)
                                            : sys::open(At::cwd(), request.file, O_RDONLY));
  const Spool spool = TRY(Spool::create(store));
  const Fd tar = TRY(sys::open(spool.dir(), "layer.tar", O_RDWR | O_CREAT | O_EXCL, 0600));
  const std::array<int, 2> keep{input.get(), tar.get()};
  Confined child = TRY(Confined::start(keep, ::geteuid() == 0, "read " + what,
                                       [&] { return inflate(input, tar, meter); }));
  Result<Extracted> counts = child.finish();
  if (!counts) return std::move(counts).error().during(what);
  if (counts->bytes == 0) return Error(Code::kInvalid, what + ": is empty");
  if (::lseek(tar.get(), 0, SEEK_SET) != 0) return Error::system(errno, "seek");
  Result<std::string> id = add_image(store, spool, tar, std::move(image), request.tenant, meter);
  if (!id) return std::move(id).error().during(what);
  TRY(sys::write_all(STDOUT_FILENO, *id + "\n"));
  return 0;
}

}  // namespace vrun::images
