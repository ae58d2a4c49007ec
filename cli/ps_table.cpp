#include "cli/ps_table.hpp"

#include <algorithm>
#include <array>
#include <optional>

#include "base/spawn.hpp"
#include "base/text.hpp"

namespace vrun::cli {
namespace {

std::optional<std::string_view> column(std::string_view line, std::size_t index) {
  for (std::size_t at = 0;; ++at) {
    line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
    if (line.empty()) return std::nullopt;
    const std::size_t end = std::min(line.find(' '), line.size());
    if (at == index) return line.substr(0, end);
    line.remove_prefix(end);
  }
}

// Columns whose words have no blanks. Behind any other, what a process is called could stand where
// its PID is looked for, and show a process of somebody else.
bool is_one_word(std::string_view heading) {
  constexpr std::array<std::string_view, 19> kPlain{
      "F",    "S",    "STAT", "UID", "EUID", "RUID", "USER", "EUSER", "RUSER", "GID",
      "PPID", "PGID", "SID",  "PRI", "NI",   "TTY",  "TT",   "%CPU",  "%MEM"};
  return std::find(kPlain.begin(), kPlain.end(), heading) != kPlain.end();
}

std::optional<std::size_t> pid_column(std::string_view heading) {
  for (std::size_t at = 0;; ++at) {
    const auto name = column(heading, at);
    if (!name) return std::nullopt;
    if (*name == "PID") return at;
    if (!is_one_word(*name)) return std::nullopt;
  }
}

// `-o etimes=PID`: a column that is called PID and is none.
Result<void> check_headings(const std::vector<std::string>& options) {
  for (const std::string& option : options) {
    if (option.find('=') == std::string::npos || option.starts_with("--sort=")) continue;
    return Error(Code::kInvalid, "ps option " + quote(option) + ": columns keep their own names")
        .hint("such as: -o pid,etimes,args");
  }
  return {};
}

}  // namespace

Result<std::string> run_ps(const std::vector<std::string>& options,
                           const std::vector<std::string>& env) {
  TRY(check_headings(options));
  Command command;
  command.path = "ps";
  command.argv = {"ps"};
  command.argv.insert(command.argv.end(), options.begin(), options.end());
  if (options.empty()) command.argv.emplace_back("-ef");
  command.env = env;
  command.output_limit = 64U << 20U;
  Result<Finished> finished = run(command);
  if (!finished) {
    return std::move(finished).error().hint(
        "install procps, or use --format json, which does not need ps");
  }
  if (finished->exit.code() == 0) return std::move(finished->output);
  return Error(Code::kInvalid, "ps ended with " + std::to_string(finished->exit.code()) + ": " +
                                   printable(trim(finished->output)));
}

Result<std::string> ps_table(std::string_view output, const std::vector<Pid>& pids) {
  const std::vector<std::string_view> lines = split(output, '\n');
  const auto at = pid_column(lines.front());
  if (!at) {
    return Error(Code::kInvalid, "ps prints no PID column with these options")
        .hint("let it be the first one, for example: -o pid,args");
  }
  std::string out = printable(lines.front()) + '\n';
  for (std::size_t i = 1; i < lines.size(); ++i) {
    const auto pid = parse_u64(column(lines[i], *at).value_or(""));
    const bool ours = pid && std::any_of(pids.begin(), pids.end(), [&](Pid one) {
                        return static_cast<std::uint64_t>(one.value) == *pid;
                      });
    if (ours) out += printable(lines[i]) + '\n';
  }
  return out;
}

}  // namespace vrun::cli
