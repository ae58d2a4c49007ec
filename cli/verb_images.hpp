// The verbs for images on this machine: those that look (verb_images.cpp), those that change names
// and free content (verb_image_changes.cpp), and those that vrun-image does (verb_archives.cpp).
#pragma once

#include <string>
#include <string_view>

#include "base/json_writer.hpp"
#include "cli/run.hpp"
#include "images/catalog.hpp"

namespace vrun::cli {

bool is_image_verb(std::string_view verb);
Result<int> everyday_image(std::string_view verb, const EverydayCall& call);

Result<int> list_images(const EverydayCall& call);
Result<int> inspect_images(const EverydayCall& call);
Result<int> image_history(const EverydayCall& call);
// What `image inspect` says of one image. Code::kNotFound where there is none of the name.
Result<void> write_image_named(const EverydayCall& call, const std::string& name,
                               json::Writer& writer);

Result<int> tag_image(const EverydayCall& call);
Result<int> remove_images(const EverydayCall& call);
Result<int> prune_images(const EverydayCall& call);
Result<int> prune_system(const EverydayCall& call);  // images, and volumes where asked for
Result<int> disk_use(const EverydayCall& call);

// The policy's turn (images/gc.hpp); a failure is a warning.
void collect_by_policy(const EverydayCall& call);

// Become vrun-image.
Result<int> save_images(const EverydayCall& call);
Result<int> load_images(const EverydayCall& call);
Result<int> import_image(const EverydayCall& call);
Result<int> check_store(const EverydayCall& call);

images::Catalog catalog_of(const EverydayCall& call);
Result<int> print_out(std::string_view text);
std::string human_size(std::uint64_t bytes);  // "1.0 MB", as people compare sizes of downloads
// "json" or `usual`, which the flag may also name; else an error that lists them.
Result<bool> wants_json(const Arguments& arguments, std::string_view usual);

}  // namespace vrun::cli
