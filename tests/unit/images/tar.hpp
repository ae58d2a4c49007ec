// Tar archives made byte by byte, so that tests can say what no honest program would.
#pragma once

#include <cstdio>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vrun::images::test {

struct TarEntry {
  std::string name;
  char type =
      '0';  // '0' file, '1' hard link, '2' link, '3' char, '4' block, '5' directory, '6' fifo
  std::string content = {};
  std::string link = {};
  unsigned mode = 0644;
  unsigned uid = 0, gid = 0;
};

class Tar {
 public:
  Tar& add(const TarEntry& entry) {
    if (entry.name.size() > 100) add_pax("path", entry.name);
    if (entry.link.size() > 100) add_pax("linkpath", entry.link);
    put(entry);
    return *this;
  }
  Tar& file(std::string name, std::string content = "x") {
    return add({.name = std::move(name), .content = std::move(content)});
  }
  Tar& dir(std::string name, unsigned mode = 0755) {
    return add({.name = std::move(name), .type = '5', .content = "", .link = "", .mode = mode});
  }
  Tar& symlink(std::string name, std::string to) {
    return add({.name = std::move(name), .type = '2', .content = "", .link = std::move(to)});
  }
  Tar& hard_link(std::string name, std::string to) {
    return add({.name = std::move(name), .type = '1', .content = "", .link = std::move(to)});
  }
  // An extended header (pax) for the next entry: "SCHILY.xattr.user.x".
  Tar& pax(const std::string& key, const std::string& value) {
    add_pax(key, value);
    return *this;
  }
  // Several records in one header.
  Tar& pax(const std::vector<std::pair<std::string, std::string>>& records) {
    std::string content;
    for (const auto& [key, value] : records)
      content += record(key, value);
    put({.name = "pax", .type = 'x', .content = content});
    return *this;
  }
  std::string bytes() const { return bytes_ + std::string(1024, '\0'); }
  std::string unfinished() const { return bytes_; }

 private:
  static std::string record(const std::string& key, const std::string& value) {
    const std::string body = " " + key + "=" + value + "\n";
    std::size_t size = body.size() + 1;
    while (std::to_string(size).size() + body.size() != size)
      ++size;
    return std::to_string(size) + body;
  }
  void add_pax(const std::string& key, const std::string& value) {
    put({.name = "pax", .type = 'x', .content = record(key, value)});
  }

  void put(const TarEntry& entry) {
    char header[512] = {};
    std::strncpy(header, entry.name.c_str(), 100);
    number(header + 100, 8, entry.mode);
    number(header + 108, 8, entry.uid);
    number(header + 116, 8, entry.gid);
    number(header + 124, 12, entry.content.size());
    number(header + 136, 12, 1000000000);
    header[156] = entry.type;
    std::strncpy(header + 157, entry.link.c_str(), 100);
    std::memcpy(header + 257, "ustar\00000", 8);
    number(header + 329, 8, 1);
    number(header + 337, 8, 3);
    std::memset(header + 148, ' ', 8);
    unsigned sum = 0;
    for (const char c : header)
      sum += static_cast<unsigned char>(c);
    number(header + 148, 7, sum);
    header[154] = '\0';
    bytes_.append(header, sizeof header);
    bytes_ += entry.content;
    bytes_.append((512 - entry.content.size() % 512) % 512, '\0');
  }

  static void number(char* at, std::size_t bytes, std::uint64_t value) {
    for (std::size_t i = bytes - 1; i-- > 0; value >>= 3U)
      at[i] = static_cast<char>('0' + (value & 7U));
  }

  std::string bytes_;
};

}  // namespace vrun::images::test
