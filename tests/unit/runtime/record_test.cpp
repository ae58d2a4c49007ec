#include "runtime/record.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fs.hpp"
#include "base/sys.hpp"

namespace vrun::runtime {
namespace {

class RecordFolder : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = testing::TempDir() + "vrun-record-XXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    root_ = name;
  }
  void TearDown() override { static_cast<void>(fs::remove_tree(At::cwd(), root_)); }

  ContainerId id(const char* text) { return *ContainerId::parse(text); }
  std::string root_;
};

Record full_record() {
  Record record;
  record.id = "web";
  record.bundle = "/b";
  record.rootfs = "/b/rootfs";
  record.created = "2026-01-31T10:20:30.000000001Z";
  record.process = {Pid(4242), 18446744073709551615U, 77, "boot"};
  record.owner = 1000;
  record.cgroup = {"cgroupfs", "/a/web", {{"", "/sys/fs/cgroup/a/web"}}, "", ""};
  record.closid = "gold";
  record.own_closid = true;
  record.rootless = true;
  record.annotations = {{"k", "v"}};
  return record;
}

TEST(Record, survives_the_way_through_json) {
  const Result<Record> read = parse_record(to_json(full_record()), "state.json");
  ASSERT_TRUE(read) << read.error().text();
  EXPECT_EQ(to_json(*read), to_json(full_record()));
  EXPECT_EQ(read->process.pid, Pid(4242));
  EXPECT_EQ(read->cgroup.paths.at(""), "/sys/fs/cgroup/a/web");
}

TEST(Record, a_later_version_is_refused_not_misread) {
  std::string text = to_json(full_record());
  text.replace(text.find("\"version\":1"), 11, "\"version\":2");
  EXPECT_FALSE(parse_record(text, "state.json"));
}

TEST(ProcessMark, start_time_tells_a_live_process_from_none) {
  EXPECT_TRUE(start_time_of(Pid(::getpid())));
  EXPECT_EQ(start_time_of(Pid(::getpid())), start_time_of(Pid(::getpid())));
  EXPECT_FALSE(start_time_of(Pid(0)));
  EXPECT_FALSE(start_time_of(Pid(-1)));
}

TEST(ProcessMark, finds_the_very_process_and_no_other) {
  const std::optional<ProcessMark> self = mark_process(Pid(::getpid()));
  ASSERT_TRUE(self);
  EXPECT_TRUE(open_marked(*self));
  EXPECT_FALSE(open_marked(ProcessMark()));

  ProcessMark other = *self;
  ++other.start_time;
  if (other.pidfs_inode != 0) ++other.pidfs_inode;
  EXPECT_FALSE(open_marked(other)) << "the pid was used again";

  ProcessMark older = *self;
  older.pidfs_inode = 0;  // as a kernel without pidfs would have written it
  EXPECT_TRUE(open_marked(older));
  ++older.start_time;
  EXPECT_FALSE(open_marked(older));

  ProcessMark rebooted = *self;
  rebooted.boot_id = "another boot";
  ++rebooted.start_time;
  EXPECT_FALSE(open_marked(rebooted)) << "inode numbers start anew with each boot";
}

TEST(ProcessMark, a_zombie_has_ended) {
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    ::pause();
    ::_exit(0);
  }
  const std::optional<ProcessMark> mark = mark_process(Pid(child));
  ASSERT_TRUE(mark);
  EXPECT_TRUE(open_marked(*mark));
  ASSERT_EQ(::kill(child, SIGKILL), 0);
  siginfo_t ended{};
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(child), &ended, WEXITED | WNOWAIT), 0);
  EXPECT_FALSE(open_marked(*mark));
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  EXPECT_FALSE(open_marked(*mark));
}

TEST_F(RecordFolder, an_id_is_taken_until_its_folder_is_gone) {
  {
    Result<NewFolder> first = NewFolder::create(root_, id("web"));
    ASSERT_TRUE(first);
    const Result<NewFolder> second = NewFolder::create(root_, id("web"));
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code(), Code::kExists);
    EXPECT_NE(second.error().text().find("already exists"), std::string::npos);
  }
  EXPECT_TRUE(NewFolder::create(root_, id("web"))) << "an uncommitted folder is removed on drop";
}

TEST_F(RecordFolder, folders_are_private) {
  const Result<NewFolder> folder = NewFolder::create(root_ + "/deeper/still", id("web"));
  ASSERT_TRUE(folder);
  EXPECT_EQ(sys::stat(folder->dir().get())->st_mode & 07777U, 0700U);
}

TEST_F(RecordFolder, a_missing_container_does_not_exist) {
  const Result<Folder> folder = Folder::open(root_, "ghost", Folder::Lock::kNone);
  ASSERT_FALSE(folder);
  EXPECT_EQ(folder.error().code(), Code::kNotFound);
  EXPECT_NE(folder.error().text().find("does not exist"), std::string::npos);
  EXPECT_FALSE(Folder::open(root_, "../ghost", Folder::Lock::kNone));
}

TEST_F(RecordFolder, a_damaged_state_falls_back_to_the_intent) {
  Result<NewFolder> made = NewFolder::create(root_, id("web"));
  ASSERT_TRUE(made);
  Record record = full_record();
  record.process.pid = Pid(0);
  ASSERT_TRUE(write_intent(made->dir(), record));
  ASSERT_TRUE(prepare_state(made->dir(), full_record()));
  ASSERT_TRUE(publish_state(made->dir()));
  const Result<Folder> folder = Folder::open(root_, "web", Folder::Lock::kNone);
  ASSERT_TRUE(folder);
  EXPECT_TRUE(folder->load()->complete);
  EXPECT_EQ(folder->load()->record.process.pid, Pid(4242));

  ASSERT_TRUE(fs::replace_file(made->dir(), "state.json", "{\"version\":1,"));
  EXPECT_FALSE(folder->load()->complete);
  EXPECT_EQ(folder->load()->record.cgroup.path, "/a/web") << "delete --force needs the cgroup";

  ASSERT_TRUE(sys::unlink(made->dir(), "intent"));
  EXPECT_FALSE(folder->load()->complete);
  EXPECT_EQ(folder->load()->record.id, "web");
}

TEST_F(RecordFolder, a_dead_process_means_stopped) {
  Result<NewFolder> made = NewFolder::create(root_, id("web"));
  ASSERT_TRUE(made);
  Record record = full_record();
  record.process.pid = Pid(::getpid());  // alive, but started at another time than the record says
  ASSERT_TRUE(prepare_state(made->dir(), record));
  ASSERT_TRUE(publish_state(made->dir()));
  const Result<Folder> folder = Folder::open(root_, "web", Folder::Lock::kNone);
  const Result<Info> info = read_info(*folder, *folder->load(), Host());
  ASSERT_TRUE(info);
  EXPECT_EQ(info->status, Status::kStopped);
  EXPECT_EQ(info->pid, Pid(0));
}

}  // namespace
}  // namespace vrun::runtime
