#include "images/request.hpp"

#include <array>

#include "base/json_table.hpp"
#include "base/text.hpp"

namespace vrun::images {
namespace {

constexpr std::array<std::string_view, 4> kStyles{"auto", "plain", "json", "quiet"};

// An error on its way.
struct Report {
  int code = 0;
  std::string text, hint;
};

constexpr auto json_fields(const Report*) {
  return json::fields(json::field("code", &Report::code, {.required = true}),
                      json::field("text", &Report::text, {.required = true}),
                      json::field("hint", &Report::hint));
}

}  // namespace

constexpr auto json_names(const ProgressStyle*) {
  return kStyles;
}

constexpr auto json_fields(const TransferRequest*) {
  using R = TransferRequest;
  return json::fields(
      json::field("dataDir", &R::data_dir, {.required = true}),
      json::field("shippedDir", &R::shipped_dir), json::field("tenant", &R::tenant),
      json::field("images", &R::images), json::field("platform", &R::platform),
      json::field("progress", &R::progress), json::field("registry", &R::registry),
      json::field("username", &R::username), json::field("passwordStdin", &R::password_stdin),
      json::field("imageLimit", &R::image_limit), json::field("reportFd", &R::report_fd));
}

std::string to_json(const TransferRequest& request) {
  return json::write(request);
}

Result<TransferRequest> parse_transfer_request(std::string_view text) {
  return json::read<TransferRequest>(text, "request");
}

std::string error_to_json(const Error& error) {
  return json::write(Report{static_cast<int>(error.code()), error.text(), error.hint()});
}

Error error_from_json(std::string_view text) {
  Result<Report> report = json::read<Report>(text, "report");
  if (!report) return std::move(report).error().during("vrun-image");
  Error error(static_cast<Code>(report->code), printable(report->text));
  if (!report->hint.empty()) return std::move(error).hint(printable(report->hint));
  return error;
}

}  // namespace vrun::images
