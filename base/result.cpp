#include "base/result.hpp"

#include <cctype>
#include <cerrno>
#include <cstring>

namespace vrun {
namespace {

Code code_of(int sys_errno) {
  switch (sys_errno) {
    case ENOENT:
      return Code::kNotFound;
    case EEXIST:
      return Code::kExists;
    case EACCES:
    case EPERM:
      return Code::kDenied;
    case ENOSYS:
    case EOPNOTSUPP:
      return Code::kUnsupported;
    case ETIMEDOUT:
      return Code::kTimeout;
    default:
      return Code::kSystem;
  }
}

}  // namespace

std::string errno_text(int sys_errno) {
  const char* words = strerrordesc_np(sys_errno);
  const char* name = strerrorname_np(sys_errno);
  if (words == nullptr || name == nullptr) return "error " + std::to_string(sys_errno);
  std::string text = words;
  // "RPC ..." and "I/O error" keep their capitals.
  if (text.size() > 1 && std::islower(static_cast<unsigned char>(text[1])) != 0) {
    text[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(text[0])));
  }
  return text + " (" + name + ")";
}

Error::Error(Code code, std::string message) : data_(std::make_unique<Data>()) {
  data_->code = code;
  data_->message = std::move(message);
}

Error Error::system(int sys_errno, std::string action) {
  Error error(code_of(sys_errno), std::move(action));
  error.data_->sys_errno = sys_errno;
  error.data_->reason = errno_text(sys_errno);
  return error;
}

Error&& Error::during(std::string_view action) && {
  data_->prefix = std::string(action) + ": " + data_->prefix;
  return std::move(*this);
}

Error&& Error::at(std::string_view where) && {
  if (data_->where.empty()) data_->where = where;
  return std::move(*this);
}

Error&& Error::at_instead(std::string_view where) && {
  data_->where = where;
  return std::move(*this);
}
Error&& Error::hint(std::string_view text) && {
  if (data_->hint.empty()) data_->hint = text;
  return std::move(*this);
}

Error&& Error::detail(std::string_view words) && {
  data_->detail = words;
  return std::move(*this);
}

Error&& Error::step(std::string_view name) && {
  if (data_->step.empty()) data_->step = name;
  return std::move(*this);
}

Error&& Error::with_code(Code code) && {
  data_->code = code;
  return std::move(*this);
}

std::string Error::text() const {
  std::string text = data_->prefix + data_->message;
  if (!data_->where.empty()) text += " (" + data_->where + ")";
  if (!data_->reason.empty()) text += ": " + data_->reason;
  if (!data_->detail.empty()) text += ": " + data_->detail;
  return text;
}

}  // namespace vrun
