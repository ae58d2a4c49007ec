#include <fcntl.h>

#include "base/sys.hpp"
#include "base/text.hpp"
#include "cli/oci.hpp"
#include "oci/documents.hpp"

namespace vrun::cli {

Result<int> oci_spec(const OciCall& call) {
  const Arguments& given = call.arguments;
  const Host& host = call.context.host;
  const std::string bundle = given.has("bundle") ? given.text("bundle") : ".";
  const oci::Spec spec =
      given.on("rootless") ? oci::rootless_spec(host.euid, host.egid) : oci::default_spec();
  const Fd dir = TRY(sys::open_dir(At::cwd(), bundle));
  // O_EXCL: a config that somebody has edited is never overwritten.
  Result<Fd> file = sys::open(dir, "config.json", O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0644);
  if (!file && file.error().code() == Code::kExists) {
    return Error(Code::kExists, "config.json exists in " + quote(bundle) + " already")
        .hint("remove it first, or choose another folder with --bundle");
  }
  if (!file) return std::move(file).error();
  TRY(sys::write_all(file->get(), oci::to_json(spec, true)));
  return 0;
}

}  // namespace vrun::cli
