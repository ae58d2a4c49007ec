// What happened to things of the user, for `vrun events`: one JSON object a line, appended whole.
//
// Any process may write at any time; a line is one write(2) with O_APPEND, so lines never mix. At
// 10 MB the file becomes events.jsonl.1 (the one before is removed). A note that cannot be written
// is a warning of the log, never a failure of what happened.
#pragma once

#include <map>
#include <string>
#include <string_view>

namespace vrun {

struct Happening {
  std::string_view type;    // "guest", "image", "network", "volume"
  std::string_view action;  // as Docker calls it: create, pull, connect ...
  std::string id, name, tenant;
  std::string image;  // of a guest, else empty
  std::map<std::string, std::string> attributes;
};

void note_happening(const std::string& data_dir, const Happening& what);

// data_dir/events.jsonl
std::string journal_path(const std::string& data_dir);

}  // namespace vrun
