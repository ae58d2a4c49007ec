// Guests that a manifest made are written as what they were, or a note says what they are now.
#include "engine/export_runners.hpp"

#include <algorithm>

#include <gtest/gtest.h>

#include "base/text.hpp"
#include "engine/apply_wanted.hpp"
#include "manifest/reader.hpp"

namespace vrun::engine {
namespace {

// As a manifest's guests are recorded once it has been applied.
struct Applied {
  std::vector<GuestRecord> records;
  std::vector<CronJob> jobs;

  GuestRecord& at(const std::string& name) {
    return *std::find_if(records.begin(), records.end(),
                         [&](const GuestRecord& one) { return one.name == name; });
  }
  void remove(const std::string& name) {
    std::erase_if(records, [&](const GuestRecord& one) { return one.name == name; });
  }
};

Wanted wanted_of(const std::string& text) {
  const std::vector<manifest::Source> sources{{"shop.yaml", text}};
  const manifest::Manifest read = manifest::read_manifest(sources, {}, {});
  for (const manifest::Fault& fault : read.faults)
    ADD_FAILURE() << fault.line() << "\n" << text;
  std::vector<manifest::WireObject> objects;
  for (const manifest::Object& object : read.objects)
    objects.push_back({object.kind, object.name, object.place.file, object.spec, {}});
  Wanted wanted = to_wanted("shop", objects);
  EXPECT_EQ(wanted.faults, std::vector<std::string>()) << text;
  return wanted;
}

Applied apply(const std::string& text) {
  const Wanted wanted = wanted_of(text);
  Applied applied{{}, wanted.cron_jobs};
  for (const WantedGuest& guest : wanted.guests) {
    GuestRecord record;
    record.name = guest.name;
    record.request = guest.request;
    applied.records.push_back(std::move(record));
  }
  return applied;
}

ExportedManifest exported(const Applied& applied) {
  ExportedManifest made;
  export_runners(applied.records, applied.jobs, made);
  return made;
}

// What another apply would make of both.
void expect_the_same(const std::string& before, const std::string& after) {
  Wanted one = wanted_of(before), other = wanted_of(after);
  const auto by_name = [](const WantedGuest& a, const WantedGuest& b) { return a.name < b.name; };
  std::sort(one.guests.begin(), one.guests.end(), by_name);
  std::sort(other.guests.begin(), other.guests.end(), by_name);
  ASSERT_EQ(one.guests.size(), other.guests.size()) << after;
  for (std::size_t i = 0; i < one.guests.size(); ++i) {
    WantedGuest &a = one.guests[i], &b = other.guests[i];
    for (WantedGuest* guest : {&a, &b}) {
      const auto is_own = [](const std::string& label) {
        return label.starts_with("vrun.applied");
      };
      std::erase_if(guest->request.labels, is_own);
      std::sort(guest->request.start_after.begin(), guest->request.start_after.end());
    }
    EXPECT_EQ(a.object, b.object);
    EXPECT_EQ(to_json(a.request), to_json(b.request));
    EXPECT_EQ(a.is_job, b.is_job);
    ASSERT_EQ(a.after.size(), b.after.size()) << a.name;
    EXPECT_EQ(a.unavailable, b.unavailable);
    EXPECT_EQ(a.rollback, b.rollback);
    EXPECT_EQ(a.up_timeout_ms, b.up_timeout_ms);
  }
  ASSERT_EQ(one.cron_jobs.size(), other.cron_jobs.size());
  for (std::size_t i = 0; i < one.cron_jobs.size(); ++i) {
    CronJob &a = one.cron_jobs[i], &b = other.cron_jobs[i];
    for (CronJob* job : {&a, &b})
      std::erase_if(job->request.labels, [](const auto& l) { return l.starts_with("vrun."); });
    EXPECT_EQ(to_json(a.request), to_json(b.request));
    EXPECT_EQ(std::tie(a.name, a.schedule, a.time_zone, a.concurrency, a.starting_deadline_ms),
              std::tie(b.name, b.schedule, b.time_zone, b.concurrency, b.starting_deadline_ms));
    EXPECT_EQ(std::tie(a.keep_succeeded, a.keep_failed, a.suspend),
              std::tie(b.keep_succeeded, b.keep_failed, b.suspend));
  }
}

constexpr const char* kShop = R"(
{apiVersion: vrun/v1, kind: Job, name: once, image: base, retries: 2, network: none}
---
{apiVersion: vrun/v1, kind: Guest, name: web, image: base, replicas: 3, network: none,
 restart: always, dependsOn: {once: completed, shop-db: started}, args: [sleep, "9"],
 update: {maxUnavailable: 2, rollback: false, timeout: 9s}}
---
{apiVersion: vrun/v1, kind: Guest, name: look, image: base, dependsOn: {web: started}}
---
apiVersion: vrun/v1
kind: Group
name: shop
ports: ["8080:80"]
networkPps: 1000
init:
- {name: prep, image: base, args: [touch, /a]}
- {name: more, image: base}
guests:
- {name: db, image: base, restart: always, probes: {liveness: {tcp: {port: 80}}}}
- {name: app, image: base, dependsOn: {db: healthy, once: completed}, labels: {a: b}}
---
apiVersion: vrun/v1
kind: CronJob
name: night
schedule: "30 4 * * *"
timeZone: UTC
concurrency: forbid
startingDeadline: 90s
keepSucceeded: 0
keepFailed: 7
suspend: true
job: {image: base, network: none, args: [sh, -c, "a: b"], retries: 1, env: {A: "1"}}
)";

TEST(ExportRunners, what_a_manifest_made_is_written_as_it_was) {
  const ExportedManifest made = exported(apply(kShop));
  EXPECT_EQ(made.notes, std::vector<std::string>());
  expect_the_same(kShop, made.text);
}

TEST(ExportRunners, replicas_with_one_missing_are_guests_of_their_own_and_a_note_says_so) {
  Applied applied = apply(kShop);
  applied.remove("web-2");
  const ExportedManifest made = exported(applied);
  EXPECT_EQ(
      join(made.notes, "\n"),
      "look: dependsOn web, which is not here under that name\n"
      "web-1: was a replica of Guest web, of which others are not here; is a Guest of its own\n"
      "web-3: was a replica of Guest web, of which others are not here; is a Guest of its own");
  EXPECT_NE(made.text.find("# not carried over: web-1: was a replica of Guest web"),
            std::string::npos);
  EXPECT_NE(made.text.find("name: \"web-3\""), std::string::npos);
  EXPECT_EQ(wanted_of(made.text).guests.size(), applied.records.size());
}

TEST(ExportRunners, replicas_that_differ_are_guests_of_their_own) {
  Applied applied = apply(kShop);
  applied.at("web-3").request.memory = "64m";
  const ExportedManifest made = exported(applied);
  EXPECT_EQ(made.notes.size(), 4U);
  EXPECT_NE(made.notes.at(1).find("which are no longer alike"), std::string::npos);
  EXPECT_EQ(made.text.find("replicas:"), std::string::npos);
}

TEST(ExportRunners, a_group_without_its_first_guest_is_none) {
  Applied applied = apply(kShop);
  applied.remove("shop-db");
  const ExportedManifest made = exported(applied);
  EXPECT_EQ(made.text.find("kind: Group"), std::string::npos);
  const std::string notes = join(made.notes, "\n");
  EXPECT_NE(notes.find("shop-app: was a guest of Group shop; is a Guest of its own"),
            std::string::npos);
  EXPECT_NE(notes.find("shop-app: joins guest shop-db, which has to be there before"),
            std::string::npos);
}

TEST(ExportRunners, a_group_without_another_of_its_guests_is_one) {
  Applied applied = apply(kShop);
  applied.remove("shop-app");
  const ExportedManifest made = exported(applied);
  EXPECT_EQ(made.notes, std::vector<std::string>());
  EXPECT_NE(made.text.find("kind: Group"), std::string::npos);
}

TEST(ExportRunners, a_job_that_became_something_else_is_a_guest) {
  Applied applied = apply(kShop);
  applied.at("once").request.restart = "always";
  EXPECT_EQ(join(exported(applied).notes, "\n"),
            "once: was Job once, and has been changed; is a Guest");
}

TEST(ExportRunners, runs_of_a_cron_job_come_from_it_or_are_jobs) {
  Applied applied = apply(kShop);
  applied.records.clear();
  GuestRecord run;
  run.name = "night-202601310430";
  run.request = applied.jobs[0].request;
  applied.records.push_back(run);
  const ExportedManifest with = exported(applied);
  EXPECT_EQ(join(with.notes, "\n"), "CronJob night: runs that are there (1): it makes others");
  EXPECT_EQ(with.text.find(run.name), std::string::npos);
  applied.jobs.clear();
  const ExportedManifest without = exported(applied);
  EXPECT_EQ(join(without.notes, "\n"), run.name + ": was a run of CronJob night; is a Job");
  EXPECT_NE(without.text.find("kind: Job\nname: \"" + run.name), std::string::npos);
}

TEST(ExportRunners, forged_labels_begin_no_line) {
  const std::string forged = "x\n---\nkind: Tenant\n";
  for (const char* kind : {"Guest/", "Job/", "CronJob/", "Group/"}) {
    GuestRecord record;
    record.name = "web";
    record.request.image = "base";
    record.request.health.cmd = "tcp://:" + forged;
    record.request.labels = {
        "vrun.object=" + std::string(kind) + forged, "vrun.member=guests[0" + forged,
        R"(vrun.applied={"dependsOn":{"a\n---\nkind: Tenant":"b"},"update":{"rollback":"\nkind: Tenant","maxUnavailable":"\nkind: Tenant","x\nkind: Tenant":"1"}})"};
    ExportedManifest made;
    export_runners({record}, {}, made);
    EXPECT_EQ(made.text.find("\nkind: Tenant"), std::string::npos) << made.text;
    EXPECT_NE(made.text.find("kind: "), std::string::npos);
  }
}

TEST(ExportRunners, a_guest_that_was_renamed_keeps_its_name) {
  Applied applied = apply(kShop);
  applied.at("look").name = "watch";
  EXPECT_NE(exported(applied).text.find("name: \"watch\""), std::string::npos);
}

}  // namespace
}  // namespace vrun::engine
