// What a container is to systemd: the names of its unit and slice, and the properties that carry
// its limits. Plain values, no bus.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/id.hpp"
#include "base/result.hpp"
#include "cgroups/gvariant.hpp"
#include "oci/spec.hpp"

namespace vrun::cgroups {

struct UnitName {
  std::string unit;   // "libpod-abc.scope", or a slice
  std::string slice;  // "system.slice"; "-.slice" is the root
  bool is_slice() const { return unit.ends_with(".slice"); }
};

// linux.cgroupsPath "slice:prefix:name" in systemd's words. Empty: the default slice (system.slice,
// user.slice when rootless) and vrun-<id>.scope.
Result<UnitName> unit_name(const std::string& cgroups_path, const ContainerId& id, bool rootless);

// "a-b.slice" lives in "/a.slice/a-b.slice"; "-.slice" in "/".
Result<std::string> expand_slice(std::string_view slice);

struct Property {
  std::string name;
  BusValue value;
  bool operator==(const Property&) const = default;
};

// The unit's own properties and accounting switches, without PIDs.
std::vector<Property> unit_properties(const UnitName& name, const ContainerId& id);

// Limits that systemd knows, so that it does not undo them when it reloads. Values are as exact as
// systemd allows (it keeps CPU quotas in percent); the files are written afterwards in any case.
// `v2`: the words of the unified hierarchy.
Result<std::vector<Property>> resource_properties(const oci::Resources& resources, bool v2);

// Annotations org.systemd.property.NAME: values in GVariant text; NAME...Sec takes seconds.
Result<std::vector<Property>> annotation_properties(
    const std::map<std::string, std::string>& annotations);

// "0-2,5" as the bytes of a bit mask, lowest first.
Result<std::vector<unsigned char>> cpu_mask(std::string_view list, std::string_view where);

}  // namespace vrun::cgroups
