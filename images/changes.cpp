#include "images/changes.hpp"

#include <algorithm>
#include <array>
#include <string_view>

#include "base/json.hpp"
#include "base/text.hpp"

namespace vrun::images {
namespace {

using oci::ImageConfig;

// "a b" in words; quotes keep blanks together, a backslash keeps the next character.
Result<std::vector<std::string>> words_of(std::string_view text) {
  std::vector<std::string> words;
  std::string word;
  bool open = false;
  char quoted = '\0';
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '\\' && i + 1 < text.size() && quoted != '\'') {
      word += text[++i];
      open = true;
    } else if (quoted != '\0') {
      if (c == quoted)
        quoted = '\0';
      else
        word += c;
    } else if (c == '"' || c == '\'') {
      quoted = c;
      open = true;
    } else if (c == ' ' || c == '\t') {
      if (open) words.push_back(std::exchange(word, {}));
      open = false;
    } else {
      word += c;
      open = true;
    }
  }
  if (quoted != '\0') return Error(Code::kInvalid, "a quote is not closed");
  if (open) words.push_back(std::move(word));
  return words;
}

// ["a", "b"]; absent when the text is no JSON list of texts.
std::optional<std::vector<std::string>> list_of(std::string_view text) {
  if (!text.starts_with('[')) return std::nullopt;
  const Result<json::Document> document = json::Document::parse(text, "value");
  if (!document || document->root().kind() != json::Kind::kArray) return std::nullopt;
  std::vector<std::string> list;
  for (const json::Value& value : document->root().elements()) {
    if (value.kind() != json::Kind::kString) return std::nullopt;
    list.emplace_back(value.as_text());
  }
  return list;
}

std::vector<std::string> command_of(const ImageConfig& config, std::string_view text) {
  if (auto list = list_of(text)) return *std::move(list);
  std::vector<std::string> command = config.shell;
  if (command.empty()) command = {"/bin/sh", "-c"};
  command.emplace_back(text);
  return command;
}

Result<void> set_cmd(ImageConfig& config, std::string_view text) {
  config.cmd = command_of(config, text);
  return {};
}

Result<void> set_entrypoint(ImageConfig& config, std::string_view text) {
  config.entrypoint = command_of(config, text);
  return {};
}

// "A=b C=d", or the old form "A all the rest".
Result<std::vector<std::pair<std::string, std::string>>> pairs_of(std::string_view text) {
  const std::vector<std::string> words = TRY(words_of(text));
  std::vector<std::pair<std::string, std::string>> pairs;
  const bool old_form = !words.empty() && words.front().find('=') == std::string::npos;
  if (old_form) {
    const std::size_t blank = text.find_first_of(" \t");
    if (blank == std::string_view::npos) return Error(Code::kInvalid, "a value is missing");
    pairs.emplace_back(text.substr(0, blank), trim(text.substr(blank)));
    return pairs;
  }
  for (const std::string& word : words) {
    const std::size_t equals = word.find('=');
    if (equals == std::string::npos || equals == 0) {
      return Error(Code::kInvalid, quote(word) + " is not NAME=VALUE");
    }
    pairs.emplace_back(word.substr(0, equals), word.substr(equals + 1));
  }
  return pairs;
}

Result<void> add_env(ImageConfig& config, std::string_view text) {
  for (const auto& [name, value] : TRY(pairs_of(text))) {
    const std::string head = name + "=";
    std::erase_if(config.env, [&head](const std::string& old) { return old.starts_with(head); });
    config.env.push_back(head + value);
  }
  return {};
}

Result<void> add_labels(ImageConfig& config, std::string_view text) {
  for (auto& [name, value] : TRY(pairs_of(text)))
    config.labels.insert_or_assign(name, value);
  return {};
}

void add_once(std::vector<std::string>& list, std::string text) {
  if (std::find(list.begin(), list.end(), text) == list.end()) list.push_back(std::move(text));
}

Result<void> add_ports(ImageConfig& config, std::string_view text) {
  for (const std::string& word : TRY(words_of(text))) {
    const std::size_t slash = word.find('/');
    const auto port = parse_u64(word.substr(0, slash));
    if (!port || *port == 0 || *port > 65535) {
      return Error(Code::kInvalid, quote(word) + " is no port");
    }
    add_once(config.exposed_ports, slash == std::string::npos ? word + "/tcp" : word);
  }
  return {};
}

Result<void> add_volumes(ImageConfig& config, std::string_view text) {
  const auto list = list_of(text);
  for (const std::string& path : list ? *list : TRY(words_of(text)))
    add_once(config.volumes, path);
  return {};
}

Result<void> set_user(ImageConfig& config, std::string_view text) {
  config.user = text;
  return {};
}

Result<void> set_workdir(ImageConfig& config, std::string_view text) {
  if (!text.starts_with('/')) {
    config.working_dir =
        (config.working_dir.empty() ? "" : config.working_dir) + "/" + std::string(text);
    return {};
  }
  config.working_dir = text;
  return {};
}

Result<void> set_stop_signal(ImageConfig& config, std::string_view text) {
  config.stop_signal = text;
  return {};
}

using Function = Result<void> (*)(ImageConfig&, std::string_view);
struct Instruction {
  std::string_view name;
  Function apply;
};
constexpr std::array kInstructions{
    Instruction{"CMD", &set_cmd},         Instruction{"ENTRYPOINT", &set_entrypoint},
    Instruction{"ENV", &add_env},         Instruction{"EXPOSE", &add_ports},
    Instruction{"LABEL", &add_labels},    Instruction{"STOPSIGNAL", &set_stop_signal},
    Instruction{"USER", &set_user},       Instruction{"VOLUME", &add_volumes},
    Instruction{"WORKDIR", &set_workdir},
};

std::string upper(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), [](char c) {
    return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  });
  return out;
}

Error unknown(const std::string& name) {
  std::vector<std::string_view> names;
  for (const Instruction& instruction : kInstructions)
    names.push_back(instruction.name);
  Error error(Code::kInvalid, "instruction " + quote(name) + " cannot be used here");
  if (const auto near = nearest(name, names)) {
    return std::move(error).hint("did you mean " + std::string(*near) + "?");
  }
  return error;
}

}  // namespace

Result<void> apply_change(oci::ImageConfig& config, const std::string& line) {
  const std::string_view text = trim(line);
  const std::size_t end = std::min(text.find_first_of(" \t="), text.size());
  const std::string name = upper(text.substr(0, end));
  const std::string_view value = end < text.size() ? trim(text.substr(end + 1)) : "";
  for (const Instruction& instruction : kInstructions) {
    if (instruction.name != name) continue;
    if (value.empty()) return Error(Code::kInvalid, name + ": has no value");
    Result<void> done = instruction.apply(config, value);
    if (done) return {};
    return std::move(done).error().during("--change " + name);
  }
  return unknown(name);
}

Result<void> apply_changes(oci::ImageConfig& config, const std::vector<std::string>& lines) {
  for (const std::string& line : lines)
    TRY(apply_change(config, line));
  return {};
}

}  // namespace vrun::images
