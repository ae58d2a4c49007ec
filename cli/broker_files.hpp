// The caller's half of a call through vrun-broker: what names files of the host is read, written
// and packed here, with the caller's own rights, before and after root's vrun does the rest.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/fd.hpp"
#include "base/host.hpp"
#include "base/result.hpp"
#include "cli/everyday_verbs.hpp"
#include "cli/options.hpp"
#include "tenants/caller_files.hpp"

namespace vrun::cli {

class CallerHalf {
 public:
  // `typed`: behind the verb, as the caller wrote it; `arguments`: the same, parsed.
  static Result<CallerHalf> prepare(const EverydayVerb& verb, const Arguments& arguments,
                                    const std::vector<std::string>& typed, const Host& host);
  CallerHalf(CallerHalf&&) = default;
  CallerHalf& operator=(CallerHalf&&) = default;
  ~CallerHalf();  // an output that was never finished goes

  const std::vector<std::string>& words() const { return words_; }  // behind the verb
  int in() const;
  int out() const;
  const tenants::CallerFiles& files() const { return files_; }
  // What is left to do when root's half has ended with `code`; the code of the whole.
  Result<int> finish(int code);

 private:
  CallerHalf() = default;
  Result<void> gather(const EverydayVerb& verb, const Arguments& arguments, const Host& host);
  Result<void> gather_manifests(const EverydayVerb& verb, const Arguments& arguments,
                                const Host& host);
  Result<void> gather_variables(const Arguments& arguments, const Host& host);
  Result<void> add_file(const std::string& asked);
  Result<void> redirect(const EverydayVerb& verb, const Arguments& arguments);
  Result<void> open_output(const std::string& path);
  Result<void> copy(const Arguments& arguments);
  Result<void> copy_out(const std::string& guest, const std::string& to);
  Result<void> copy_in(const std::string& from, const std::string& guest, bool follow);

  std::vector<std::string> words_;
  Fd in_, out_;
  tenants::CallerFiles files_;
  std::string made_;  // the regular file that `out_` is
  Fd helper_;         // of cp: packs or unpacks
};

}  // namespace vrun::cli
