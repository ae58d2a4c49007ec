#include "engine/request_faults.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/apply_wanted.hpp"

namespace vrun::engine {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

RunRequest base() {
  RunRequest request;
  request.image = "base";
  return request;
}

std::vector<std::string> paths(const RunRequest& request) {
  std::vector<std::string> list;
  for (const FieldFault& fault : faults_of(request))
    list.push_back(fault.path);
  return list;
}

TEST(RequestFaults, a_good_request_has_none) {
  RunRequest request = base();
  request.restart = "on-failure:3";
  request.start_after = {"db"};
  request.publish = {"8080:80", "9000-9001:90-91"};
  request.volumes = {"data:/data", "/srv:/srv:ro"};
  request.cap_add = {"NET_ADMIN"};
  EXPECT_THAT(faults_of(request), IsEmpty());
  request.isolation = "vm";
  EXPECT_THAT(faults_of(request), IsEmpty());
}

TEST(RequestFaults, each_field_is_told_with_its_element) {
  RunRequest request = base();
  request.restart = "sometimes";
  request.publish = {"8080:80", "8080-8081:80"};
  request.cap_add = {"NET_ADMIN", "FOO"};
  request.tmpfs = {"x"};
  request.sysctls = {"kernel.hostname=x"};
  EXPECT_THAT(paths(request), ElementsAre("restart", "security.capAdd[1]", "tmpfs[0]", "ports[1]"));
  EXPECT_EQ(faults_of(request)[0].text,
            "'sometimes': unknown; there are: no, on-failure, on-failure:N, always, "
            "unless-stopped");
}

TEST(RequestFaults, what_is_wrong_only_together_is_told_of_the_whole) {
  RunRequest request = base();
  request.network = "none";
  request.publish = {"8080:80"};
  ASSERT_THAT(paths(request), ElementsAre(""));
  EXPECT_THAT(faults_of(request)[0].text, HasSubstr("network"));
  request = base();
  request.isolation = "vm";
  request.privileged = true;
  EXPECT_THAT(paths(request), ElementsAre(""));
}

Wanted wanted_of(const char* kind, const char* spec, std::vector<manifest::WirePlace> places) {
  return to_wanted("shop", {{kind, "web", "f.yaml:1:1", spec, std::move(places)}});
}

TEST(RequestFaults, a_manifests_lines_name_the_place_and_come_in_its_order) {
  const Wanted wanted =
      wanted_of("Guest", R"({"image":"base","restart":"x","ports":["1:2","1-2:3"]})",
                {{"ports", "f.yaml:2:1"}, {"ports[1]", "f.yaml:2:9"}, {"restart", "f.yaml:3:10"}});
  EXPECT_THAT(wanted.faults, ElementsAre(StartsWith("f.yaml:2:9: guests.web.ports[1]: '1-2:3': "),
                                         StartsWith("f.yaml:3:10: guests.web.restart: 'x': ")));
}

TEST(RequestFaults, a_groups_guests_are_told_by_their_number_and_its_ports_as_its_own) {
  const Wanted wanted =
      wanted_of("Group",
                R"({"ports":["1-2:3"],"guests":[{"name":"a","image":"i"},)"
                R"({"name":"b","image":"i","restart":"x"}]})",
                {{"ports[0]", "f.yaml:4:9"}, {"guests[1].restart", "f.yaml:7:3"}});
  EXPECT_THAT(wanted.faults, ElementsAre(StartsWith("f.yaml:4:9: groups.web.ports[0]: "),
                                         StartsWith("f.yaml:7:3: groups.web.guests[1].restart: ")));
}

TEST(RequestFaults, a_place_that_is_not_known_is_that_of_what_it_is_in) {
  const Wanted wanted =
      wanted_of("CronJob", R"({"schedule":"@daily","job":{"image":"i","limits":{"cpus":"-2"}}})",
                {{"job.limits", "f.yaml:9:5"}});
  EXPECT_THAT(wanted.faults, ElementsAre(StartsWith("f.yaml:9:5: cronJobs.web.job.limits.cpus: ")));
}

TEST(RequestFaults, a_time_zone_that_is_none_is_told_at_its_field) {
  const Wanted wanted =
      wanted_of("CronJob", R"({"schedule":"@daily","timeZone":"Mars/Base","job":{"image":"i"}})",
                {{"schedule", "f.yaml:4:11"}, {"timeZone", "f.yaml:5:11"}, {"job", "f.yaml:6:6"}});
  EXPECT_THAT(wanted.faults, ElementsAre("f.yaml:5:11: cronJobs.web.timeZone: 'Mars/Base' is no "
                                         "time zone of this host"));
}

TEST(RequestFaults, addresses_of_a_network_are_told_at_their_place) {
  const Wanted wanted =
      wanted_of("Network", R"({"subnets":["10.1.0.0/33","10.2.0.0/24"],"gateways":["10.2.0.300"]})",
                {{"subnets[0]", "f.yaml:4:11"}, {"gateways[0]", "f.yaml:5:12"}});
  EXPECT_THAT(wanted.faults,
              ElementsAre("f.yaml:4:11: networks.web.subnets[0]: '10.1.0.0/33' is no subnet such "
                          "as 10.7.0.0/24",
                          "f.yaml:5:12: networks.web.gateways[0]: '10.2.0.300' is no address"));
}

TEST(RequestFaults, flags_are_not_what_a_manifest_says) {
  RunRequest request = base();
  request.memory_swap = "64m";
  EXPECT_THAT(faults_of(request)[0].text, StartsWith("limits.memorySwap without limits.memory"));
}

TEST(RequestFaults, a_port_of_the_host_is_one_guests) {
  const auto guest = [](const char* name, const char* spec) {
    return manifest::WireObject{"Guest", name, std::string(name) + ":1:1", spec, {}};
  };
  const Wanted wanted = to_wanted(
      "shop", {guest("a", R"({"image":"i","ports":["8080:80","127.0.0.1:90:90","70:70/udp"]})"),
               guest("b", R"({"image":"i","ports":["8079-8081:1-3","127.0.0.2:90:90","70:70"]})"),
               guest("c", R"({"image":"i","replicas":2,"ports":["81:80","82"]})")});
  EXPECT_THAT(
      wanted.faults,
      ElementsAre("b:1:1: guests.b.ports[0]: '8079-8081:1-3': guest a has that port of the host",
                  HasSubstr("guests.c.ports[0]: '81:80': replicas cannot share a port of the "
                            "host; '80/tcp' lets vrun choose")));
}

}  // namespace
}  // namespace vrun::engine
