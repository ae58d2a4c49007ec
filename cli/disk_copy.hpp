// `vrun cp` of a system on a disk of its own, whose files vrun does not see: the system's own
// shell and tar, run by the agent in it, are one half, vrun-image is the other. Names have the
// rules of images/transfer/copy.hpp.
#pragma once

#include "base/result.hpp"
#include "engine/guests.hpp"
#include "images/tree_request.hpp"

namespace vrun::cli {

enum class CopyWay { kOut, kIn };

// `request`: path (in the guest), file (of the host, "-": a tar of stdin or stdout), keep_owners
// and follow_link. Its exit code: not 0 when one half has said on stderr what is wrong.
Result<int> copy_by_agent(const engine::Guests& guests, const engine::GuestRecord& record,
                          const images::TreeRequest& request, CopyWay way);

}  // namespace vrun::cli
