// Texts of registries and of auth files: whatever they say, what comes out is bounded and harmless.

#include "images/transfer/auth.hpp"
#include "images/transfer/credentials.hpp"
#include "images/transfer/endpoint.hpp"
#include "images/transfer/registry.hpp"
#include "tests/fuzz/fuzz.hpp"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace vrun;
  const std::string_view text = fuzz::text_of(data, size);
  for (const images::Challenge& challenge : images::parse_challenges(text))
    fuzz::require(!challenge.scheme.empty() && challenge.scheme.size() <= size);
  if (const auto range = images::parse_content_range(text))
    fuzz::require(range->first <= range->last);
  if (const auto token = images::parse_token(text, "answer")) {
    fuzz::require(!token->empty() && token->find_first_of("\r\n ") == std::string::npos);
  }
  if (const auto url = images::parse_url(std::string(text))) {
    fuzz::require(url->scheme == "http" || url->scheme == "https");
    // What was understood once is understood the same again: no two readers of one URL.
    const auto again = images::parse_url(url->text);
    fuzz::require(again && again->is_same_origin(*url));
  }
  const auto bytes = images::from_base64(text);
  if (bytes) fuzz::require(*images::from_base64(images::base64(*bytes)) == *bytes);
  static_cast<void>(images::find_auth(text, "auth.json", "registry.example", "team/app"));
  const images::Credentials mine{.user = "a", .password = "b", .identity_token = ""};
  if (const auto file = images::with_auth(text, "auth.json", "registry.example", &mine)) {
    // What was written can be changed again.
    fuzz::require(images::with_auth(*file, "auth.json", "registry.example", nullptr).has_value());
  }
  fuzz::require(images::registry_words(text).find('\n') == std::string::npos);
  return 0;
}
