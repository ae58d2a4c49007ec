// The bounded log and the journal that protects it from a killed monitor.
#include "engine/monitor/log.hpp"

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/monitor/journal.hpp"

namespace vrun::monitor {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;

class MonitorLog : public ::testing::Test {
 protected:
  MonitorLog() {
    std::string name = ::testing::TempDir() + "vrun-log-XXXXXX";
    folder_ = ::mkdtemp(name.data());
    dir_ = ::open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  }
  ~MonitorLog() override {
    ::close(dir_);
    std::filesystem::remove_all(folder_);
  }
  std::string read(const std::string& name) const {
    std::ifstream file(folder_ + "/" + name);
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
  }
  bool has(const std::string& name) const { return std::filesystem::exists(folder_ + "/" + name); }
  void say(Log& log, std::string_view text, Stream stream = Stream::kOut) const {
    log.write(stream, text.data(), text.size());
  }

  std::string folder_;
  int dir_ = -1;
};

TEST_F(MonitorLog, a_line_is_a_record) {
  Log log;
  log.open(dir_, {});
  say(log, "hello\n");
  say(log, "half", Stream::kErr);
  EXPECT_THAT(read("00000001.log"),
              MatchesRegex("....-..-..T..:..:..\\..........Z stdout F hello\n"
                           "....-..-..T..:..:..\\..........Z stderr P half\n"));
}

TEST_F(MonitorLog, long_lines_are_cut_and_marked) {
  Log log;
  log.open(dir_, {});
  say(log, std::string(40000, 'x') + "\n");
  const std::string text = read("00000001.log");
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 3);
  EXPECT_EQ(std::count(text.begin(), text.end(), 'x'), 40000);
}

TEST_F(MonitorLog, files_follow_each_other_and_the_oldest_goes) {
  Log log;
  log.open(dir_, {.bytes = 1000, .files = 2});
  for (int i = 0; i < 100; ++i)
    say(log, "line " + std::to_string(i) + "\n");
  EXPECT_FALSE(has("00000001.log"));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_), {}), 2);
  for (const auto& file : std::filesystem::directory_iterator(folder_))
    EXPECT_LE(file.file_size(), 1000U);
}

TEST_F(MonitorLog, the_next_monitor_goes_on_with_the_last_file) {
  {
    Log log;
    log.open(dir_, {.bytes = 100, .files = 9});
    say(log, "one\n");
    say(log, "two\n");
    say(log, "three\n");
    log.close();
  }
  Log log;
  log.open(dir_, {.bytes = 100, .files = 9});
  say(log, "four\n");
  EXPECT_THAT(read("00000002.log"), HasSubstr("three"));
  EXPECT_THAT(read("00000002.log"), HasSubstr("four"));
}

TEST_F(MonitorLog, records_are_read_back_as_the_bytes_they_were) {
  Log log;
  log.open(dir_, {.bytes = 300, .files = 99});
  say(log, "before\n");
  const Log::Place place = log.place();
  const std::string bytes = "a\n\nbcd\n" + std::string(200, 'y') + "\nno newline";
  say(log, bytes);
  std::array<char, 4096> back{};
  const std::size_t n = log.read_back(place, back.data(), back.size());
  EXPECT_EQ(std::string(back.data(), n), bytes) << "also over the end of a file";
}

class MonitorJournal : public MonitorLog {
 protected:
  MonitorJournal() {
    EXPECT_EQ(::pipe2(pipe_, O_NONBLOCK | O_CLOEXEC), 0);
    EXPECT_EQ(::pipe2(other_, O_NONBLOCK | O_CLOEXEC), 0);
    ::mkdir((folder_ + "/run").c_str(), 0700);
    run_ = ::open((folder_ + "/run").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    ::mkdir((folder_ + "/logs").c_str(), 0700);
    logs_ = ::open((folder_ + "/logs").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  }
  ~MonitorJournal() override {
    for (const int fd : {pipe_[0], pipe_[1], other_[0], other_[1], run_, logs_})
      ::close(fd);
  }
  void put(std::string_view text) { EXPECT_GT(::write(pipe_[1], text.data(), text.size()), 0); }
  // As a monitor does that comes after a killed one, and then reads what is there.
  std::string recovered_log() {
    Log log;
    log.open(logs_, {});
    Journal journal;
    EXPECT_EQ(journal.open(run_), 0);
    journal.recover({pipe_[0], other_[0]}, log, scratch_.data(), scratch_.size());
    while (journal.take(pipe_[0], Stream::kOut, log, scratch_.data(), scratch_.size() / 2) > 0) {
    }
    return read("logs/00000001.log");
  }
  // What a monitor has noted when it is killed.
  void note(std::uint32_t state, Log::Place place, std::uint64_t bytes) {
    Journal journal;
    EXPECT_EQ(journal.open(run_), 0);
    const struct {
      std::uint32_t state, stream;
      std::int64_t file, bytes;
      std::uint64_t count;
    } page{state, 0, place.file, place.bytes, bytes};
    const int file = ::open((folder_ + "/run/journal").c_str(), O_RDWR | O_CLOEXEC);
    EXPECT_EQ(::pwrite(file, &page, sizeof page, 0), static_cast<ssize_t>(sizeof page));
    ::close(file);
  }
  static long count(const std::string& text, const std::string& word) {
    long found = 0;
    for (std::size_t at = 0; (at = text.find(word, at)) != std::string::npos; ++at)
      ++found;
    return found;
  }

  int pipe_[2] = {-1, -1}, other_[2] = {-1, -1};
  int run_ = -1, logs_ = -1;
  std::array<char, 65536> scratch_{};
};

TEST_F(MonitorJournal, what_is_taken_is_in_the_log_and_not_in_the_pipe) {
  put("one\ntwo\n");
  const std::string text = recovered_log();
  EXPECT_EQ(count(text, "one"), 1);
  EXPECT_EQ(count(text, "two"), 1);
  char byte = 0;
  EXPECT_LT(::read(pipe_[0], &byte, 1), 0) << "nothing is left";
}

TEST_F(MonitorJournal, killed_while_writing_nothing_is_lost_or_doubled) {
  put("one\n");
  recovered_log();
  put("two\nthree\n");
  {
    // The first half of a batch, as a killed write leaves it: noted, partly written, not consumed.
    Log log;
    log.open(logs_, {});
    note(1, log.place(), 10);
    say(log, "two\nth");
  }
  const std::string text = recovered_log();
  for (const char* word : {"one", "two", "three"})
    EXPECT_EQ(count(text, word), 1) << word;
}

TEST_F(MonitorJournal, killed_before_consuming_the_pipe_is_not_read_twice) {
  put("one\n");
  Log::Place place{};
  {
    Log log;
    log.open(logs_, {});
    place = log.place();
    say(log, "one\n");
  }
  note(2, place, 4);
  put("two\n");
  const std::string text = recovered_log();
  EXPECT_EQ(count(text, "one"), 1);
  EXPECT_EQ(count(text, "two"), 1);
}

TEST_F(MonitorJournal, killed_after_consuming_the_next_bytes_are_kept) {
  Log::Place place{};
  {
    Log log;
    log.open(logs_, {});
    place = log.place();
    say(log, "one\n");
  }
  note(2, place, 4);
  put("two\n");
  const std::string text = recovered_log();
  EXPECT_EQ(count(text, "one"), 1);
  EXPECT_EQ(count(text, "two"), 1);
}

}  // namespace
}  // namespace vrun::monitor
