#include "engine/places.hpp"

#include <algorithm>
#include <string_view>

#include "base/fs.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"

namespace vrun::engine {
namespace {

Result<std::string> absolute(const std::string& path, std::string_view what) {
  if (path.starts_with('/')) return fs::clean(path);
  return Error(Code::kInvalid, std::string(what) + " " + quote(path) + ": not an absolute path");
}

std::string first_of(std::string a, std::string b) {
  return a.empty() ? std::move(b) : std::move(a);
}

}  // namespace

Result<Places> Places::find(const Host& host, const std::string& data_dir) {
  const std::string program = TRY(sys::read_link(At::cwd(), host.proc + "/self/exe"));
  Places places;
  const std::string prefix(fs::dir_name(fs::dir_name(program)));
  const std::string data = first_of(data_dir, std::string(host.variable("VRUN_DATA_DIR")));
  places.data = TRY(absolute(first_of(data, "/var/lib/vrun"), "data directory"));
  places.run = TRY(absolute(first_of(std::string(host.variable("VRUN_RUN_DIR")), host.runtime_dir),
                            "VRUN_RUN_DIR"));
  places.images = fs::join(prefix, "share/vrun/images");
  return places;
}

}  // namespace vrun::engine
