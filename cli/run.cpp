#include "cli/run.hpp"

#include <unistd.h>

#include "base/sys.hpp"
#include "base/text.hpp"
#include "cli/table.hpp"
#include "engine/run.hpp"
#include "images/catalog.hpp"

namespace vrun::cli {
namespace {

std::optional<bool> tristate(const Arguments& arguments, std::string_view flag) {
  if (!arguments.has(flag)) return std::nullopt;
  return arguments.on(flag);
}

Result<int> print_text(std::string_view text) {
  TRY(sys::write_all(STDOUT_FILENO, text));
  return 0;
}

// "1.0 MB", as people compare sizes of downloads.
std::string human_size(std::uint64_t bytes) {
  constexpr std::string_view kUnits[] = {"B", "kB", "MB", "GB", "TB"};
  std::size_t unit = 0;
  std::uint64_t tenths = bytes * 10;
  while (tenths >= 10000 && unit + 1 < std::size(kUnits)) {
    tenths = (tenths + 500) / 1000;
    ++unit;
  }
  std::string text = std::to_string(tenths / 10);
  if (unit > 0) text += "." + std::to_string(tenths % 10);
  return text + " " + std::string(kUnits[unit]);
}

}  // namespace

engine::RunRequest to_request(const Arguments& arguments) {
  engine::RunRequest request;
  request.image = arguments.word(0);
  for (std::size_t i = 1; i < arguments.words().size(); ++i)
    request.args.push_back(arguments.word(i));
  request.name = arguments.text("name");
  request.hostname = arguments.text("hostname");
  request.env = arguments.list("env");
  request.env_files = arguments.list("env-file");
  request.workdir = arguments.text("workdir");
  request.user = arguments.text("user");
  if (arguments.has("entrypoint")) request.entrypoint = arguments.text("entrypoint");
  request.remove = arguments.on("rm");
  request.tty = tristate(arguments, "tty");
  request.interactive = tristate(arguments, "interactive");
  request.memory = arguments.text("memory");
  request.cpus = arguments.text("cpus");
  request.pids_limit = arguments.text("pids-limit");
  request.read_only = arguments.on("read-only");
  request.no_new_privileges = arguments.on("no-new-privs");
  request.cap_add = arguments.list("cap-add");
  request.cap_drop = arguments.list("cap-drop");
  request.volumes = arguments.list("volume");
  request.tmpfs = arguments.list("tmpfs");
  request.network = arguments.text("network");
  request.isolation = arguments.text("isolation");
  request.pull = arguments.text("pull");
  return request;
}

Result<int> everyday_run(const EverydayCall& call) {
  return engine::run_guest(to_request(call.arguments), call.places, call.host);
}

Result<int> everyday_plan(const EverydayCall& call) {
  return print_text(TRY(engine::plan_guest(to_request(call.arguments), call.places, call.host)));
}

Result<int> everyday_images(const EverydayCall& call) {
  const images::Catalog catalog(call.places.images);
  const std::vector<std::string> names = TRY(catalog.names());
  if (call.arguments.on("quiet")) {
    std::string text;
    for (const std::string& name : names)
      text += printable(name) + "\n";
    return print_text(text);
  }
  std::vector<std::vector<std::string>> rows{{"NAME", "DIGEST", "PLATFORM", "LAYERS", "SIZE"}};
  for (const std::string& name : names) {
    const images::Image image = TRY(catalog.find(name));
    rows.push_back({name, image.digest.hex.substr(0, 12),
                    image.config.os + "/" + image.config.architecture,
                    std::to_string(image.manifest.layers.size()), human_size(image.size())});
  }
  return print_text(table(rows));
}

}  // namespace vrun::cli
