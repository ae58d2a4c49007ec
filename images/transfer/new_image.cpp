#include "images/transfer/new_image.hpp"

#include <ctime>

#include <unistd.h>

#include "base/sys.hpp"
#include "base/text.hpp"
#include "images/catalog.hpp"
#include "images/gc.hpp"
#include "images/names.hpp"
#include "images/transfer/import.hpp"

namespace vrun::images {

std::string now_text() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::gmtime_r(&now, &parts);
  char text[32];
  return {text, std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts)};
}

oci::Reference made_up_name(const oci::Digest& config, const std::string& how) {
  constexpr std::size_t kShortId = 12;
  oci::Reference name;
  name.domain = "localhost";
  name.path = how;
  name.tag = config.hex.substr(0, kShortId);
  return name;
}

Result<std::string> add_image(const Store& store, const Spool& spool, const Fd& tar, NewImage image,
                              const std::string& tenant, Meter* meter) {
  oci::Descriptor layer = TRY(spool.add_file(tar, std::string(oci::kLayerTarType)));
  oci::HistoryEntry step;
  step.created = image.created;
  step.created_by = image.created_by;
  step.comment = image.comment;
  step.author = image.author;
  image.config.created = image.created;
  image.config.author = image.author;
  image.config.diff_ids.push_back(layer.digest);  // a plain tar: blob and layer are one digest
  image.config.history.push_back(std::move(step));

  oci::Manifest manifest;
  manifest.media_type = oci::kManifestType;
  manifest.config = TRY(spool.add_bytes(oci::to_json(image.config), std::string(oci::kConfigType)));
  manifest.layers = std::move(image.layers);
  manifest.layers.push_back(std::move(layer));
  const oci::Descriptor descriptor =
      TRY(spool.add_bytes(oci::to_json(manifest), std::string(oci::kManifestType)));

  const Image whole = TRY(read_image(spool.path(), descriptor, "new image"));
  ExtractOptions options;
  options.privileged = ::geteuid() == 0;
  options.meter = meter;
  std::vector<std::string> warnings;
  const Holdings holdings = TRY(Holdings::of(store, tenant));
  TRY(import_image(store, holdings, whole, options, warnings, Blobs::kTaken));
  for (const std::string& warning : warnings)
    static_cast<void>(sys::write_all(STDERR_FILENO, "vrun: warning: " + printable(warning) + "\n"));
  Names names = TRY(Names::open(store, tenant));
  const oci::Digest& id = whole.manifest.config.digest;
  const oci::Reference name = image.name ? *image.name : made_up_name(id, image.how);
  TRY(names.set(name, descriptor));
  names.note(image.event, name, descriptor.digest);
  return id.str();
}

void collect_by_policy(const std::string& data_dir, const std::string& shipped_dir,
                       const std::string& tenant) {
  const Result<Store> store = Store::open(data_dir);
  const Result<std::vector<Image>> shipped = Catalog(shipped_dir).shipped();
  if (!store || !shipped) return;
  Result<void> done = collect_if_due(*store, *shipped);
  if (done) return;
  const std::string words =
      tenant == "default" ? done.error().text() : "the image store has damage, which root can mend";
  static_cast<void>(sys::write_all(STDERR_FILENO,
                                   "vrun: warning: collecting what nobody needs: " + words + "\n"));
}

}  // namespace vrun::images
