#include "images/layers.hpp"

#include <algorithm>

#include "base/log.hpp"
#include "base/spawn.hpp"
#include "base/text.hpp"

namespace vrun::images {
namespace {

constexpr std::string_view kErrorMark = "vrun-image: ";
constexpr std::string_view kHintMark = "  hint: ";
constexpr std::string_view kWarningMark = "warning: ";

// A later line wins: what went wrong is said last.
std::string_view last_with(std::string_view output, std::string_view mark) {
  std::string_view found;
  for (const std::string_view line : split(output, '\n')) {
    if (line.starts_with(mark)) found = line.substr(mark.size());
  }
  return found;
}

void pass_on_warnings(std::string_view output) {
  for (const std::string_view line : split(output, '\n')) {
    if (line.starts_with(kWarningMark)) log::warning(line.substr(kWarningMark.size()));
  }
}

}  // namespace

std::string to_report(const Error& error) {
  std::string text = std::string(kErrorMark) + printable(error.text()) + "\n";
  if (!error.hint().empty()) text += std::string(kHintMark) + printable(error.hint()) + "\n";
  return text;
}

Error from_report(const std::string& output, int exit_code) {
  const std::string_view words = last_with(output, kErrorMark);
  if (words.empty()) {
    return Error(Code::kInternal, "vrun-image ended with " + std::to_string(exit_code) + ": " +
                                      printable(trim(output)));
  }
  Error error(Code::kSystem, std::string(words));
  const std::string_view hint = last_with(output, kHintMark);
  if (!hint.empty()) return std::move(error).hint(hint);
  return error;
}

bool has_all_layers(const Store& store, const Image& image) {
  const auto& wanted = image.config.diff_ids;
  return std::all_of(wanted.begin(), wanted.end(),
                     [&](const oci::Digest& id) { return store.has_layer(id); });
}

Result<void> ensure_layers(const Store& store, const Image& image, const std::string& importer,
                           const Host& host) {
  if (has_all_layers(store, image)) return {};
  Command command;
  command.path = importer;
  command.argv = {"vrun-image", "import", store.data_dir(), image.layout_dir, image.digest.str()};
  command.env = host.env;
  const Finished finished = TRY(run(command));
  pass_on_warnings(finished.output);
  if (finished.exit.code() == 0) return {};
  return from_report(finished.output, finished.exit.code())
      .during("unpack image " + quote(image.name));
}

}  // namespace vrun::images
