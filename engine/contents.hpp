// Secrets and Configs of a tenant: small sets of files that guests see and nobody else.
//
//   data/secrets/TENANT/NAME.json, data/configs/TENANT/NAME.json    mode 0600, below 0700
//   run/contents/TENANT/ID/secret-NAME/FILE                        while the guest lives
//
// A secret's files for a guest lie on tmpfs, belong to the guest's user and have mode 0400 (those
// of a config 0444). What inspect, ps, labels and plans show of one is its name and its version,
// which is random and says nothing of the content.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/id.hpp"
#include "base/result.hpp"
#include "engine/guests.hpp"

namespace vrun::engine {

enum class ContentKind : std::uint8_t { kSecret, kConfig };

struct Content {
  std::string version;   // new with each change
  std::string manifest;  // that it came from
  std::map<std::string, std::string> files;
};

// kNotFound when there is none.
Result<Content> read_content(const Guests& guests, ContentKind kind, const std::string& name);
Result<void> write_content(const Guests& guests, ContentKind kind, const std::string& name,
                           const Content& content);
Result<void> remove_content(const Guests& guests, ContentKind kind, const std::string& name);
Result<std::vector<std::string>> content_names(const Guests& guests, ContentKind kind);

// "secret:db=VERSION,...": what the guest of this request would see now; for its label.
Result<std::string> content_versions(const Guests& guests, const RunRequest& request);

// The files for one life of a guest, and the request with their volumes. `owner`: outside.
Result<RunRequest> place_contents(const Guests& guests, const GuestRecord& record, Uid user,
                                  Gid group);
// When it has ended; nothing there is success.
Result<void> clear_contents(const Guests& guests, const GuestRecord& record);

}  // namespace vrun::engine
