// Command lines of every verb, words separated by newlines, the first one names the verb: nothing
// is read past its end, what is accepted has checked values, and no message carries control
// characters.

#include <vector>

#include "base/text.hpp"
#include "cli/oci_verbs.hpp"
#include "tests/fuzz/fuzz.hpp"

namespace {

using namespace vrun;

void check(const cli::Verb& verb, const cli::Arguments& arguments, std::size_t words) {
  fuzz::require(arguments.words().size() <= words);
  if (!arguments.help()) {
    fuzz::require(arguments.words().size() >= verb.least && arguments.words().size() <= verb.most);
  }
  for (const cli::Flag& flag : verb.flags()) {
    if (!arguments.has(flag.name)) continue;
    const std::string value = arguments.text(flag.name);
    if (flag.kind == cli::Kind::kNumber) fuzz::require(cli::parse_number(value).has_value());
    if (flag.kind == cli::Kind::kDuration) {
      fuzz::require(arguments.duration(flag.name) >= std::chrono::nanoseconds(0));
    }
    if (flag.kind == cli::Kind::kList) fuzz::require(!arguments.list(flag.name).empty());
  }
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::vector<std::string> words;
  for (const std::string_view word : split(fuzz::text_of(data, size), '\n')) {
    words.emplace_back(word.substr(0, word.find('\0')));  // argv has no NUL inside a word
  }
  const cli::Verb* verb = cli::find_verb(words[0]);
  if (verb == nullptr) return 0;
  std::vector<char*> argv;
  for (std::size_t i = 1; i < words.size(); ++i)
    argv.push_back(words[i].data());
  fuzz::require(cli::leading_flags(verb->flags(), argv) <= argv.size());
  const Result<cli::Arguments> arguments = cli::parse(*verb, argv);
  if (arguments) {
    check(*verb, *arguments, argv.size());
  } else {
    const std::string text = arguments.error().text() + arguments.error().hint();
    fuzz::require(printable(text) == text);
  }
  return 0;
}
