#include "engine/environment.hpp"

#include <algorithm>
#include <cctype>

#include "base/text.hpp"

namespace vrun::engine {
namespace {

bool has_name(const std::string& entry, std::string_view name) {
  return entry.size() > name.size() && entry.starts_with(name) && entry[name.size()] == '=';
}

Result<void> check_name(std::string_view name) {
  const auto is_bad = [](char c) {
    return std::isspace(static_cast<unsigned char>(c)) != 0 || c == '\0';
  };
  if (!name.empty() && std::none_of(name.begin(), name.end(), is_bad)) return {};
  return Error(Code::kInvalid, "environment variable " + quote(name) + ": not a name")
      .hint("write NAME=value, without blanks in NAME");
}

}  // namespace

void Environment::set(std::string_view name, std::string_view value) {
  std::string entry = std::string(name) + "=" + std::string(value);
  const auto [known, is_new] = places_.try_emplace(std::string(name), entries_.size());
  if (is_new) {
    entries_.push_back(std::move(entry));
  } else {
    entries_[known->second] = std::move(entry);
  }
}

Result<void> Environment::add(std::string_view entry) {
  const std::size_t sign = entry.find('=');
  const std::string_view name = entry.substr(0, sign);
  TRY(check_name(name));
  if (sign != std::string_view::npos) {
    set(name, entry.substr(sign + 1));
    return {};
  }
  for (const std::string& one : caller_) {
    if (has_name(one, name)) set(name, std::string_view(one).substr(name.size() + 1));
  }
  return {};
}

Result<void> Environment::add_file(std::string_view text, std::string_view file) {
  std::size_t number = 0;
  for (std::string_view line : split(text, '\n')) {
    ++number;
    if (line.ends_with('\r')) line.remove_suffix(1);
    const std::size_t first = line.find_first_not_of(" \t");
    if (first == std::string_view::npos || line[first] == '#') continue;
    Result<void> added = add(line.substr(first));
    if (!added) {
      return std::move(added).error().during(printable(file) + ":" + std::to_string(number));
    }
  }
  return {};
}

void Environment::add_default(std::string_view name, std::string_view value) {
  const bool known = places_.contains(std::string(name));
  if (!known) set(name, value);
}

std::string Environment::get(std::string_view name) const {
  for (const std::string& one : entries_) {
    if (has_name(one, name)) return one.substr(name.size() + 1);
  }
  return {};
}

}  // namespace vrun::engine
