// --set PATH=VALUE: changes of documents before they are checked.
//
// PATH is KINDS.NAME.FIELD[.FIELD...] with list places in brackets: guests.web.replicas,
// guests.web.env.MODE, guests.web.ports[0]. VALUE is read as YAML, so `3`, `true`, `[a, b]` and
// `{a: 1}` are what they look like. The object must be there; missing maps on the way are made; a
// list place must exist or be the next one. A value set from the command line has the place
// "--set PATH".
#pragma once

#include <span>
#include <string>
#include <vector>

#include "manifest/reader.hpp"

namespace vrun::manifest {

void apply_settings(std::vector<Object>& objects, std::span<const std::string> settings,
                    Faults& faults);

}  // namespace vrun::manifest
