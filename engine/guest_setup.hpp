// What every start of a guest needs, whoever starts it: facts of the request, the tree, the
// account.
#pragma once

#include <string>

#include "base/clock.hpp"
#include "base/fd.hpp"
#include "base/host.hpp"
#include "base/result.hpp"
#include "engine/guest_spec.hpp"
#include "engine/guests.hpp"
#include "engine/id_ranges.hpp"
#include "engine/places.hpp"
#include "engine/request.hpp"
#include "images/layout.hpp"
#include "images/store.hpp"

namespace vrun::engine {

// Makes a request independent of the caller's surroundings, so that it means the same at every
// later start: variables without a value get the caller's, files of variables are read, relative
// paths become absolute, "as my terminal is" becomes yes or no.
Result<void> settle_request(RunRequest& request, const Host& host);

// --cidfile: the new guest's id, in a file that was not there.
Result<void> write_cidfile(const GuestRecord& record);

// A guest that does not exist yet, with an id and a name of its own.
Result<GuestRecord> new_record(const images::Image& image, const Guests& guests,
                               RunRequest request);

// The one place where the name of an image becomes an image.
Result<images::Image> find_image(const RunRequest& request, const Guests& guests);
// Unpacks what is missing of its layers.
Result<void> bring_layers(const images::Store& store, const images::Image& image, const Host& host);

// What the flags say about the guest that needs the host's files, but changes nothing.
Result<GuestFacts> read_facts(const GuestRecord& record, const Guests& guests);

// /etc/subuid and /etc/subgid say which ids belong to others.
IdSpace id_space();
std::string ids_dir(const Places& places);

// What make_root() maps the layers' ids to: nothing where the guest has the ids of our own user
// namespace, in which nobody may make id-mapped mounts.
std::vector<oci::IdMapping> layer_ids(const Host& host, const std::vector<oci::IdMapping>& guest);
// The guest's ids outside: its range, that of the guest it joins, or with --userns host the host's
// own.
std::vector<oci::IdMapping> mapping_of(const GuestRecord& record, const IdRange& ids);
// Says on stderr what the flags give away.
void warn_of(const RunRequest& request);

struct RootRequest {
  const oci::ImageConfig& config;
  const Fd& guest_dir;  // has upper and work
  std::vector<oci::IdMapping> ids;
  bool keep_after_crash = false;
};
// A detached mount of the image's layers and the guest's own one.
Result<Fd> make_root(const images::Store& store, const RootRequest& request);

// Who the process is, from the image's own passwd and group.
Result<Account> account_of(const Fd& root, const oci::ImageConfig& config,
                           const RunRequest& request);
// For a dry run there is no overlay: the topmost layer that has a passwd file speaks. Before the
// image was unpacked nothing is known, and only numbers can be users.
Result<Account> planned_account(const oci::ImageConfig& config, const RunRequest& request,
                                const Places& places);
// The same for a further process of a guest; `user` may be empty (root).
Result<Account> account_in(const Fd& root, const std::string& user);

}  // namespace vrun::engine
