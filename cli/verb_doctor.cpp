// `vrun doctor`: what the host has for guests, and what to do about what it lacks.
#include <algorithm>

#include <unistd.h>

#include "base/json_writer.hpp"
#include "base/sys.hpp"
#include "base/text.hpp"
#include "cli/output.hpp"
#include "cli/verb_tools.hpp"
#include "engine/doctor.hpp"

namespace vrun::cli {
namespace {

using engine::Finding;
using engine::Grade;

std::string padded(std::string text, std::size_t width) {
  if (text.size() < width) text.append(width - text.size(), ' ');
  return text;
}

std::string as_text(const std::vector<Finding>& findings) {
  std::string out;
  for (const Finding& one : findings) {
    out += padded(engine::to_text(one.grade), 7) + padded(one.subject, 18) + printable(one.text) +
           "\n";
    if (!one.remedy.empty()) out += std::string(7, ' ') + "remedy: " + printable(one.remedy) + "\n";
  }
  return out;
}

std::string as_json(const std::vector<Finding>& findings) {
  json::Writer writer(json::Style::kSpaces);
  writer.begin_array();
  for (const Finding& one : findings) {
    const char* grade = one.grade == Grade::kFault ? "fault" : engine::to_text(one.grade);
    writer.begin_object().member("subject", one.subject).member("grade", grade);
    writer.member("text", one.text);
    if (!one.remedy.empty()) writer.member("remedy", one.remedy);
    writer.end_object();
  }
  writer.end_array();
  return writer.take();
}

}  // namespace

Result<int> everyday_doctor(const EverydayCall& call) {
  const Form form = TRY(form_of(call.arguments));
  const std::vector<Finding> findings = engine::judge(engine::look_at_host(call.places, call.host));
  const std::string text =
      form == Form::kTable ? as_text(findings) : TRY(document(form, as_json(findings)));
  TRY(sys::write_all(STDOUT_FILENO, text));
  const bool fault = std::any_of(findings.begin(), findings.end(),
                                 [](const Finding& one) { return one.grade == Grade::kFault; });
  return fault ? 1 : 0;
}

}  // namespace vrun::cli
