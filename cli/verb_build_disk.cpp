#include "cli/verb_build_disk.hpp"

#include <unistd.h>

#include "base/fs.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "cli/verb_guests.hpp"
#include "engine/build_disk.hpp"
#include "engine/run.hpp"

namespace vrun::cli {
namespace {

// "/srv/debian" and "registry/debian:12": debian.raw, here.
std::string name_of(std::string from) {
  while (from.size() > 1 && from.ends_with('/'))
    from.pop_back();
  std::string name(fs::base_name(from));
  name = name.substr(0, name.find_first_of(":@"));
  return (name.empty() || name == "." || name == ".." ? "disk" : name) + ".raw";
}

}  // namespace

Result<int> everyday_build_disk(const EverydayCall& call) {
  TRY(engine::need_root(call.host));
  engine::BuildDisk wish;
  wish.from = call.arguments.text("from");
  if (wish.from.empty())
    return Error(Code::kInvalid, "--from is missing").hint("--from DIR or --from IMAGE");
  wish.output = call.arguments.text("output");
  if (wish.output.empty()) wish.output = name_of(wish.from);
  if (wish.output.find('/') == std::string::npos) wish.output = "./" + wish.output;
  wish.kernel = call.arguments.text("kernel");
  wish.autologin = call.arguments.on("autologin");
  if (const std::string size = call.arguments.text("size"); !size.empty()) {
    const auto bytes = parse_bytes(size);
    if (!bytes || *bytes == 0)
      return Error(Code::kInvalid, "--size " + quote(size) + ": not a size").hint("such as 4g");
    wish.size = *bytes;
  }
  const engine::Guests guests = TRY(guests_of(call));
  TRY(engine::build_disk(guests, wish));
  TRY(sys::write_all(STDOUT_FILENO, wish.output + "\n"));
  return 0;
}

}  // namespace vrun::cli
