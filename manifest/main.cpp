// vrun-manifest: the program that reads YAML for vrun, so that a fault in a parser of foreign text
// stays in a process that holds nothing (confine.hpp). Nothing but stdin and time zones is read.
//
//   vrun-manifest read             a WireRequest on stdin, a WireAnswer on stdout
//   vrun-manifest convert          the same, of Compose and Kubernetes
//   vrun-manifest schema [FILE]    the JSON Schema
//   vrun-manifest reference        the tables of docs/manifest.md
#include <array>
#include <string_view>

#include <sys/prctl.h>
#include <unistd.h>

#include "base/fs.hpp"
#include "base/sys.hpp"
#include "manifest/confine.hpp"
#include "manifest/convert.hpp"
#include "manifest/reader.hpp"
#include "manifest/reference.hpp"
#include "manifest/schema.hpp"
#include "manifest/wire.hpp"

namespace {

using namespace vrun;
using namespace vrun::manifest;

Result<std::string> read_stdin() {
  constexpr std::size_t kMost = 256U << 20U;
  std::string text;
  std::array<char, 65536> buffer{};
  while (const std::size_t n = TRY(sys::read(STDIN_FILENO, buffer))) {
    text.append(buffer.data(), n);
    if (text.size() > kMost) return Error(Code::kInvalid, "the request is too large");
  }
  return text;
}

std::string place_words(const Place& place) {
  return place.file + ":" + std::to_string(place.line) + ":" + std::to_string(place.column);
}

void add_places(const Node& node, const std::string& path, std::vector<WirePlace>& places) {
  if (!path.empty() && node.place.line > 0) places.push_back({path, place_words(node.place)});
  for (std::size_t i = 0; i < node.items.size(); ++i)
    add_places(node.items[i], path + "[" + std::to_string(i) + "]", places);
  for (const auto& [key, value] : node.entries)
    add_places(value, path.empty() ? key.text : path + "." + key.text, places);
}

WireAnswer answer_to(const WireRequest& request, bool despite_faults) {
  std::vector<Source> sources;
  for (const WireFile& file : request.files)
    sources.push_back({file.name, file.text});
  const Manifest read = read_manifest(sources, request.settings, request.known);
  WireAnswer answer;
  for (const Fault& fault : read.faults)
    answer.faults.push_back(fault.line());
  if (!answer.faults.empty() && !despite_faults) return answer;
  for (const Object& object : read.objects) {
    WireObject& added = answer.objects.emplace_back();
    added = {object.kind, object.name, place_words(object.place), object.spec, {}};
    if (!despite_faults) add_places(object.tree, "", added.places);
  }
  return answer;
}

// `objects`: what could be read, whatever is wrong beside it; for who looks which files it names.
Result<void> read_verb(bool despite_faults) {
  const std::string text = TRY(read_stdin());
  const WireRequest request = TRY(parse_wire_request(text));
  return sys::write_all(STDOUT_FILENO, to_json(answer_to(request, despite_faults)));
}

Result<void> convert_verb() {
  const std::string text = TRY(read_stdin());
  const WireRequest request = TRY(parse_wire_request(text));
  std::vector<Source> sources;
  for (const WireFile& file : request.files)
    sources.push_back({file.name, file.text});
  const Converted converted = convert(sources);
  WireAnswer answer;
  for (const Fault& fault : converted.faults)
    answer.faults.push_back(fault.line());
  answer.notes = converted.notes;
  answer.text = converted.text;
  return sys::write_all(STDOUT_FILENO, to_json(answer));
}

Result<void> run(std::string_view verb, const std::string& file) {
  // Secrets pass through this memory.
  static_cast<void>(::prctl(PR_SET_DUMPABLE, 0));
  const bool foreign = verb == "read" || verb == "objects" || verb == "convert";
  if (foreign) TRY(give_up_rights());
  if (verb == "read") return read_verb(false);
  if (verb == "objects") return read_verb(true);
  if (verb == "convert") return convert_verb();
  if (verb == "reference") return sys::write_all(STDOUT_FILENO, reference_text());
  if (verb != "schema")
    return Error(Code::kInvalid, "there are read, convert, schema and reference");
  if (file.empty()) return sys::write_all(STDOUT_FILENO, json_schema());
  const Fd dir = TRY(sys::open_dir(At::cwd(), std::string(fs::dir_name(file))));
  return fs::replace_file(dir, std::string(fs::base_name(file)), json_schema(), 0644);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string verb = argc > 1 ? argv[1] : "";
  const Result<void> done = run(verb, argc > 2 ? argv[2] : "");
  if (done) return 0;
  const std::string line = "vrun-manifest: " + done.error().text() + "\n";
  static_cast<void>(sys::write_all(STDERR_FILENO, line));
  return 1;
}
