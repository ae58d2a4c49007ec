// The verbs of manifests: apply, validate, delete, convert, and `diff -f`, `export --manifest`.
#pragma once

#include <string>
#include <string_view>

#include "cli/run.hpp"
#include "engine/export_manifest.hpp"

namespace vrun::cli {

// "shop" of deploy/shop.yaml; stdin has no name of its own.
Result<std::string> name_of_manifest(const std::string& file);

bool is_manifest_verb(std::string_view verb);
Result<int> everyday_manifest(std::string_view verb, const EverydayCall& call);

// `vrun diff -f FILE`: the plan of apply; 0: nothing would change, 1: something would.
Result<int> everyday_manifest_diff(const EverydayCall& call);
// `vrun export --manifest [GUEST...]`.
Result<int> everyday_manifest_export(const EverydayCall& call);
// To the file, or to stdout where there is none; what it does not carry is said on stderr.
Result<int> print_manifest(const engine::ExportedManifest& made, const std::string& file);

}  // namespace vrun::cli
