// A command line for a test: owns the words and shows them as argv.
#pragma once

#include <span>
#include <string>
#include <vector>

namespace vrun::cli {

class Words {
 public:
  Words(std::initializer_list<std::string> words) : words_(words) {
    for (std::string& word : words_)
      pointers_.push_back(word.data());
  }
  operator std::span<char* const>() const {
    return pointers_;
  }  // NOLINT(google-explicit-constructor)

 private:
  std::vector<std::string> words_;
  std::vector<char*> pointers_;
};

}  // namespace vrun::cli
