// The environment of a guest's process: image, files, flags, in that order; the last one wins.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/result.hpp"

namespace vrun::engine {

class Environment {
 public:
  // `caller`: where a name without "=" takes its value from.
  explicit Environment(std::vector<std::string> caller) : caller_(std::move(caller)) {}

  // "NAME=value"; "NAME" takes the caller's value, and nothing where the caller has none.
  Result<void> add(std::string_view entry);
  // Lines of `add`; empty ones and those that begin with '#' are comments. `name`: for messages.
  Result<void> add_file(std::string_view text, std::string_view name);
  void add_default(std::string_view name, std::string_view value);

  std::string get(std::string_view name) const;
  const std::vector<std::string>& entries() const { return entries_; }

 private:
  void set(std::string_view name, std::string_view value);
  std::vector<std::string> caller_;
  std::vector<std::string> entries_;
  std::unordered_map<std::string, std::size_t> places_;  // of names among the entries
};

}  // namespace vrun::engine
