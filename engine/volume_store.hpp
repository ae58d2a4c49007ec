// The volumes of one tenant: directories that outlive the guests which use them.
//
//   data/volumes/TENANT/NAME/   volume.json   the record
//                               data/         what guests see: mounted with their ids mapped, so
//                                             the files lie here with the ids they have inside
//                               incoming/, complete/   see guest_volumes.hpp
// A volume is made under another name and renamed: one that can be seen is whole. Nothing counts
// its users: they are read from the records of the guests. A guest's record names its volumes
// before they are made, and removal looks at the records under the same lock (flock of the tenant's
// directory) as making, so none goes away beneath a guest.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "engine/guests.hpp"
#include "engine/places.hpp"

namespace vrun::engine {

struct Volume {
  std::uint32_t version = 1;
  std::string name, tenant, created;
  std::vector<std::string> labels;  // "NAME=VALUE"
  bool anonymous = false;           // made for one guest, with a name of digits

  bool has_label(std::string_view wanted) const;  // "NAME" or "NAME=VALUE"
};
std::string to_json(const Volume& volume);
Result<Volume> parse_volume_record(std::string_view json, std::string_view name);

// The one place where it is said where a volume lies. Disk limits belong here.
std::string volume_dir(const Places& places, const std::string& tenant, const std::string& name);
std::string volume_data(const Places& places, const std::string& tenant, const std::string& name);

// 64 random hexadecimal digits.
std::string make_volume_name();

// One that is there already is left as it is.
Result<void> make_volume(const Guests& guests, Volume volume);
// Gives one that is there other labels; what lies in it stays.
Result<void> relabel_volume(const Guests& guests, const std::string& name,
                            std::vector<std::string> labels);
// Sorted by name.
Result<std::vector<Volume>> list_volumes(const Guests& guests);
// Unknown: kNotFound with the nearest name.
Result<Volume> find_volume(const Guests& guests, std::string_view name);

// The names of the guests that have each volume, running or not. A record that cannot be read is an
// error: it is not known what that guest needs.
using VolumeUsers = std::map<std::string, std::vector<std::string>, std::less<>>;
Result<VolumeUsers> volume_users(const Guests& guests);

// kState, naming the guests, while others than guest `but_for` have it.
Result<void> remove_volume(const Guests& guests, std::string_view name,
                           std::string_view but_for = {});

struct VolumePrune {
  bool named = false;               // also those that people named
  std::vector<std::string> labels;  // only those that have all of them
  bool dry_run = false;
};
// Those that no guest has; answers their names.
Result<std::vector<std::string>> prune_volumes(const Guests& guests, const VolumePrune& rule);

// What commands that died left half made or half removed.
Result<void> sweep_volumes(const Guests& guests);

// The lock of one volume's content.
Result<Fd> lock_volume(const Guests& guests, const std::string& name);

}  // namespace vrun::engine
