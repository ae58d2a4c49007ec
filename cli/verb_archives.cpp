// save, load, import and fsck: flags into a request for vrun-image.
#include <cerrno>

#include <unistd.h>

#include "base/fs.hpp"
#include "base/helper.hpp"
#include "base/text.hpp"
#include "cli/helper_turn.hpp"
#include "cli/verb_images.hpp"
#include "engine/tenant_entry.hpp"
#include "images/archive_request.hpp"

namespace vrun::cli {
namespace {

using images::ArchiveRequest;

ArchiveRequest request_of(const EverydayCall& call) {
  ArchiveRequest request;
  request.data_dir = call.places.data;
  request.tenant = call.tenant;
  request.shipped = call.places.images;
  return request;
}

// Returns only on failure.
Error become_helper(const char* verb, const ArchiveRequest& request, const EverydayCall& call) {
  Result<std::string> helper = helper_path("vrun-image");
  if (!helper) return std::move(helper).error();
  std::string json = to_json(request);
  std::string name = verb;
  std::string program = "vrun-image";
  std::vector<char*> argv{program.data(), name.data(), json.data(), nullptr};
  std::vector<std::string> env = call.host.env;
  std::vector<char*> envp;
  for (std::string& variable : env)
    envp.push_back(variable.data());
  envp.push_back(nullptr);
  ::execve(helper->c_str(), argv.data(), envp.data());
  return Error::system(errno, "run " + quote(*helper));
}

}  // namespace

Result<int> save_images(const EverydayCall& call) {
  ArchiveRequest request = request_of(call);
  for (std::size_t i = 0; i < call.arguments.words().size(); ++i)
    request.images.push_back(call.arguments.word(i));
  request.file = call.arguments.text("output");
  request.format = call.arguments.text("format");
  if (request.file.empty() && request.format == "oci-dir") {
    return Error(Code::kInvalid, "--format oci-dir writes a folder").hint("name it with --output");
  }
  if (request.file.empty() && ::isatty(STDOUT_FILENO) != 0) {
    return Error(Code::kInvalid, "an archive is not for a terminal")
        .hint("write it to a file with --output, or into a pipe");
  }
  return wait_for_helper("save", [&] { return become_helper("save", request, call); });
}

Result<int> load_images(const EverydayCall& call) {
  ArchiveRequest request = request_of(call);
  request.file = call.arguments.text("input");
  request.quiet = call.arguments.on("quiet");
  if (request.file.empty() && ::isatty(STDIN_FILENO) != 0) {
    return Error(Code::kInvalid, "no archive to read").hint("name it with --input, or pipe it in");
  }
  request.image_limit = TRY(engine::image_limit(call.places, call.tenant, call.host));
  return wait_for_helper("load", [&] { return become_helper("load", request, call); });
}

Result<int> import_image(const EverydayCall& call) {
  ArchiveRequest request = request_of(call);
  const std::string file = call.arguments.word(0);
  request.file = file == "-" ? "" : file;
  if (call.arguments.words().size() > 1) request.images.push_back(call.arguments.word(1));
  request.changes = call.arguments.list("change");
  request.message = call.arguments.text("message");
  request.image_limit = TRY(engine::image_limit(call.places, call.tenant, call.host));
  return wait_for_helper("import", [&] { return become_helper("import-root", request, call); });
}

Result<int> check_store(const EverydayCall& call) {
  ArchiveRequest request = request_of(call);
  request.repair = call.arguments.on("repair");
  request.quick = call.arguments.on("quick");
  request.json = TRY(wants_json(call.arguments, "table"));
  return wait_for_helper("image fsck", [&] { return become_helper("fsck", request, call); });
}

}  // namespace vrun::cli
