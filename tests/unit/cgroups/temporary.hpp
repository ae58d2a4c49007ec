// A folder for one test, with files to read and write, gone at the end.
#pragma once

#include <string>

#include <gtest/gtest.h>
#include <stdlib.h>

#include "base/fs.hpp"
#include "base/sys.hpp"

namespace vrun::cgroups {

class Temporary : public testing::Test {
 protected:
  Temporary() {
    char dir[] = "/tmp/vrun-cgroups-XXXXXX";
    if (mkdtemp(dir) == nullptr) std::abort();
    dir_ = dir;
  }
  ~Temporary() override { (void)fs::remove_tree(At::cwd(), dir_); }

  void file(const std::string& path, const std::string& text = "") {
    std::string whole = fs::join(dir_, path);
    ASSERT_TRUE(fs::make_dirs(At::cwd(), std::string(fs::dir_name(whole)), 0755));
    auto dir = sys::open_dir(At::cwd(), std::string(fs::dir_name(whole)));
    ASSERT_TRUE(dir);
    ASSERT_TRUE(fs::replace_file(*dir, std::string(fs::base_name(whole)), text, 0644));
  }
  std::string read(const std::string& path) {
    auto text = fs::read_file(At::cwd(), fs::join(dir_, path), 1U << 20U);
    return text ? *text : "(" + text.error().text() + ")";
  }
  bool exists(const std::string& path) {
    return sys::stat(At::cwd(), fs::join(dir_, path)).has_value();
  }

  std::string dir_;
};

}  // namespace vrun::cgroups
