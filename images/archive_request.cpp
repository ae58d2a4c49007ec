#include "images/archive_request.hpp"

#include "base/json_table.hpp"

namespace vrun::images {

constexpr auto json_fields(const ArchiveRequest*) {
  using R = ArchiveRequest;
  return json::fields(json::field("dataDir", &R::data_dir, {.required = true}),
                      json::field("tenant", &R::tenant), json::field("shipped", &R::shipped),
                      json::field("file", &R::file), json::field("format", &R::format),
                      json::field("images", &R::images), json::field("changes", &R::changes),
                      json::field("message", &R::message), json::field("quiet", &R::quiet),
                      json::field("imageLimit", &R::image_limit), json::field("repair", &R::repair),
                      json::field("quick", &R::quick), json::field("json", &R::json));
}

std::string to_json(const ArchiveRequest& request) {
  return json::write(request);
}

Result<ArchiveRequest> parse_archive_request(std::string_view text) {
  return json::read<ArchiveRequest>(text, "request");
}

}  // namespace vrun::images
