#include "engine/guest_archive.hpp"

#include <gtest/gtest.h>

namespace vrun::engine {
namespace {

using Words = std::vector<std::string>;

TEST(AsksOfHost, nothing_for_a_guest_that_needs_nothing) {
  RunRequest request;
  request.volumes = {"box:/box", "/own"};
  request.mounts = {"type=volume,source=box,target=/b", "type=tmpfs,target=/t"};
  request.network = "web";
  request.pid = "";
  EXPECT_EQ(asks_of_host(request), Words());
}

TEST(AsksOfHost, everything_that_reaches_the_host_or_other_guests) {
  RunRequest request;
  request.volumes = {"/srv:/srv:ro"};
  request.mounts = {"type=bind,source=/etc,target=/e"};
  request.devices = {"/dev/kvm"};
  request.privileged = true;
  request.cap_add = {"NET_ADMIN"};
  request.security_opts = {"seccomp=unconfined"};
  request.sysctls = {"net.core.somaxconn=1"};
  request.pid = "host";
  request.ipc = "container:other";
  request.network = "container:other";
  request.contents = {"secret:db:/run/secrets/db"};
  EXPECT_EQ(
      asks_of_host(request),
      (Words{"--volume /srv:/srv:ro", "--mount type=bind,source=/etc,target=/e",
             "--device /dev/kvm", "--privileged", "--cap-add NET_ADMIN",
             "--security-opt seccomp=unconfined", "--sysctl net.core.somaxconn=1", "--pid host",
             "--ipc container:other", "--network container:other", "secret:db"}));
}

}  // namespace
}  // namespace vrun::engine
