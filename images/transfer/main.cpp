// vrun-image: the helper that reads foreign bytes for vrun.
//
//   vrun-image import DATA-DIR LAYOUT-DIR MANIFEST-DIGEST
//   vrun-image pull|push|login|logout REQUEST      (images/request.hpp)
//   vrun-image save|load|import-root|fsck REQUEST  (images/archive_request.hpp)
//   vrun-image commit|diff|export|copy-out|copy-in|pack|unpack REQUEST  (images/tree_request.hpp)
//
// Ends with 0, or with 1 and the reason on stderr in the form that images::from_report() reads.
#include <cstdio>
#include <string>
#include <vector>

#include <locale.h>
#include <unistd.h>

#include "base/fs.hpp"
#include "base/text.hpp"
#include "images/gc.hpp"
#include "images/layers.hpp"
#include "images/transfer/archive_verbs.hpp"
#include "images/transfer/import.hpp"
#include "images/transfer/tree_verbs.hpp"
#include "images/transfer/verbs.hpp"

namespace {

using namespace vrun;

Result<void> import(const std::string& data_dir, const std::string& layout,
                    const std::string& digest) {
  const images::Store store = TRY(images::Store::open(data_dir));
  TRY(store.sweep());
  // The store's own directory is laid out as one, without an index.
  const bool stored = layout == fs::join(data_dir, "images");
  const oci::Digest wanted = TRY(oci::Digest::parse(digest));
  const images::Image image = stored ? TRY(images::read_stored(store, wanted, digest))
                                     : TRY(images::read_layout(layout, layout));
  if (image.digest.str() != digest) {
    return Error(Code::kState, "image in " + quote(layout) + " is now " + image.digest.str() +
                                   ", not " + printable(digest))
        .hint("the image was replaced meanwhile: run the command again");
  }
  std::vector<std::string> warnings;
  images::ExtractOptions options;
  options.privileged = ::geteuid() == 0;
  TRY(images::import_image(store, images::Holdings::everything(store), image, options, warnings));
  for (const std::string& warning : warnings)
    std::fprintf(stderr, "warning: %s\n", warning.c_str());
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  // Names in tar headers are UTF-8; libarchive converts them to the locale's character set.
  ::setlocale(LC_CTYPE, "C.UTF-8");
  const std::vector<std::string> words(argv, argv + argc);
  if (words.size() == 3 && images::is_network_verb(words[1])) {
    return images::run_network_verb(words[1], words[2]);
  }
  if (words.size() == 3 && images::is_tree_verb(words[1])) {
    return images::run_tree_verb(words[1], words[2]);
  }
  if (words.size() == 3 && images::is_archive_verb(words[1])) {
    return images::run_archive_verb(words[1], words[2]);
  }
  if (words.size() != 5 || words[1] != "import") {
    std::fputs("usage: vrun-image import DATA-DIR LAYOUT-DIR MANIFEST-DIGEST\n", stderr);
    return 2;
  }
  Result<void> done = import(words[2], words[3], words[4]);
  if (done) return 0;
  std::fputs(images::to_report(done.error()).c_str(), stderr);
  return 1;
}
