// `--pull` of guests: makes sure that an image is here before a guest is made of it. The work is
// done by vrun-image; this is the static vrun's end of it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/host.hpp"
#include "base/result.hpp"
#include "images/catalog.hpp"
#include "images/request.hpp"

namespace vrun::images {

enum class PullPolicy : std::uint8_t { kMissing, kAlways, kNever };
// "missing" (also the meaning of ""), "always", "never".
Result<PullPolicy> parse_pull_policy(std::string_view text);

// Runs `helper` (vrun-image) for the images of the request and waits. Its progress goes to our
// stderr, nothing to stdout; its error comes back as ours, with code and hint.
Result<void> pull_images(TransferRequest request, const std::string& helper, const Host& host);

// By policy: `is_here` says whether the first image of the request can be used as it is. kNever
// without it is Code::kNotFound.
Result<void> pull_by_policy(PullPolicy policy, bool is_here, TransferRequest request,
                            const std::string& helper, const Host& host);

// The image of a name, fetched first where the policy says so: what guests are made of. One that is
// here for another platform than the request's counts as missing.
Result<Image> obtain(const Catalog& catalog, PullPolicy policy, TransferRequest request,
                     const std::string& helper, const Host& host);

// Becomes vrun-image, which does the whole verb ("pull", "push", "login", "logout") with our
// terminal. Returns only on failure.
Error become_transfer(std::string_view verb, const TransferRequest& request,
                      const std::string& helper, const Host& host);

}  // namespace vrun::images
