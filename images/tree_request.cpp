#include "images/tree_request.hpp"

#include "base/json_table.hpp"

namespace vrun::images {

constexpr auto json_fields(const IdShift*) {
  return json::fields(json::field("inside", &IdShift::inside, {.required = true}),
                      json::field("outside", &IdShift::outside, {.required = true}),
                      json::field("size", &IdShift::size, {.required = true}));
}

constexpr auto json_fields(const TreePart*) {
  return json::fields(json::field("directory", &TreePart::directory, {.required = true}),
                      json::field("name", &TreePart::name, {.required = true}),
                      json::field("top", &TreePart::top, {.required = true}));
}

constexpr auto json_fields(const TreeRequest*) {
  using R = TreeRequest;
  return json::fields(json::field("dataDir", &R::data_dir, {.required = true}),
                      json::field("tenant", &R::tenant), json::field("imageLimit", &R::image_limit),
                      json::field("shipped", &R::shipped), json::field("root", &R::root),
                      json::field("upper", &R::upper), json::field("manifest", &R::manifest),
                      json::field("ids", &R::ids), json::field("path", &R::path),
                      json::field("file", &R::file), json::field("keepOwners", &R::keep_owners),
                      json::field("followLink", &R::follow_link), json::field("named", &R::named),
                      json::field("called", &R::called), json::field("directory", &R::directory),
                      json::field("name", &R::name), json::field("author", &R::author),
                      json::field("message", &R::message), json::field("changes", &R::changes),
                      json::field("mountPoints", &R::mount_points), json::field("json", &R::json),
                      json::field("parts", &R::parts));
}

std::string to_json(const TreeRequest& request) {
  return json::write(request);
}

Result<TreeRequest> parse_tree_request(std::string_view text) {
  return json::read<TreeRequest>(text, "request");
}

}  // namespace vrun::images
