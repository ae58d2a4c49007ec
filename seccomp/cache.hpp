// Compiled programs, kept by the digest of the rules they were compiled from.
//
// A folder of our own (0700, our uid, no link) below host.cache_dir, one file a program. Everything
// read back is checked: owner, kind, size, magic, version, digest. A file that fails is not there,
// and is written anew. Nothing here is an error: without the cache a start takes longer.
#pragma once

#include <optional>
#include <string>

#include "base/host.hpp"
#include "oci/spec.hpp"
#include "seccomp/seccomp.hpp"

namespace vrun::seccomp {

// Changes with everything that may change the program: the rules, this compiler, libseccomp.
std::string cache_key(const oci::Seccomp& seccomp);

std::optional<Filter> load_cached(const Host& host, const std::string& key);
void store_cached(const Host& host, const std::string& key, const Filter& filter);

}  // namespace vrun::seccomp
