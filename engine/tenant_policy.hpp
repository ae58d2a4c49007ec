// The policy of a tenant at work: what a request or a finished specification asks beyond it is
// refused, all at once (Code::kDenied). For the tenant `default` there is none.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "engine/guest_spec.hpp"
#include "engine/guests.hpp"
#include "engine/request.hpp"
#include "oci/spec.hpp"

namespace vrun::engine {

// Before anything is fetched or made.
Result<void> check_wishes(const Guests& guests, const RunRequest& request);
// Images to fetch or send: "registry.example/app:1".
Result<void> check_registries(const Places& places, const std::string& tenant,
                              std::span<const std::string> images);
Result<void> check_networks(const Places& places, const std::string& tenant,
                            std::span<const std::string> networks);
// Ports that a guest is to publish.
Result<void> check_ports(const Guests& guests, std::span<const std::string> published);
// exec --privileged.
Result<void> check_exec(const Guests& guests, bool privileged);

// The specification that a guest would have, before there is one.
Result<void> check_guest(const Guests& guests, const oci::ImageConfig& image,
                         const RunRequest& request, const GuestFacts& facts);
// The specification of a guest that is about to start, as its tenant lets it be. Directories of the
// host that are allowed are opened below the allowed path, no link followed, and named by their
// descriptors from then on: whoever may write there cannot exchange them any more. They are to be
// kept until the guest runs.
Result<std::vector<Fd>> fit_to_tenant(const Guests& guests, const RunRequest& request,
                                      oci::Spec& spec);
// For `update`: the limits that a running guest is to have.
Result<void> fit_update(const Guests& guests, oci::Resources& changes, const RunRequest& wanted);

}  // namespace vrun::engine
