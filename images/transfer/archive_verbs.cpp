#include "images/transfer/archive_verbs.hpp"

#include <algorithm>
#include <array>

#include <unistd.h>

#include "base/sys.hpp"
#include "base/text.hpp"
#include "images/gc.hpp"
#include "images/transfer/allowance.hpp"
#include "images/transfer/new_image.hpp"
#include "images/transfer/tell.hpp"

namespace vrun::images {
namespace {

constexpr int kOwnFailure = 125;

Result<int> load(const ArchiveRequest& request) {
  const Store store = TRY(Store::open(request.data_dir));
  TRY(store.sweep());
  Fd in_use = TRY(store.use());
  Allowance allowance = TRY(Allowance::open(store, std::move(in_use), request.tenant,
                                            request.image_limit, request.shipped));
  Result<int> done = load_archive(store, request, allowance.meter());
  allowance.close();
  return done;
}

Result<int> import(const ArchiveRequest& request) {
  const Store store = TRY(Store::open(request.data_dir));
  TRY(store.sweep());
  Fd in_use = TRY(store.use());
  Allowance allowance = TRY(Allowance::open(store, std::move(in_use), request.tenant,
                                            request.image_limit, request.shipped));
  Result<int> done = import_root(store, request, allowance.meter());
  allowance.close();
  return done;
}

Result<int> save(const ArchiveRequest& request) {
  const Store store = TRY(Store::open(request.data_dir));
  const Fd in_use = TRY(store.use());
  return save_archive(request);
}

Result<int> fsck(const ArchiveRequest& request) {
  const Store store = TRY(Store::open(request.data_dir));
  return check_store(store, request);
}

using Function = Result<int> (*)(const ArchiveRequest&);
struct Verb {
  std::string_view name;   // of vrun-image
  std::string_view shown;  // of vrun
  Function function;
  bool adds;
};
constexpr std::array kVerbs{Verb{"load", "load", &load, true}, Verb{"save", "save", &save, false},
                            Verb{"import-root", "import", &import, true},
                            Verb{"fsck", "image fsck", &fsck, false}};

const Verb* find_verb(std::string_view name) {
  const auto found = std::find_if(kVerbs.begin(), kVerbs.end(),
                                  [&](const Verb& verb) { return verb.name == name; });
  return found == kVerbs.end() ? nullptr : &*found;
}

}  // namespace

bool is_archive_verb(std::string_view verb) {
  return find_verb(verb) != nullptr;
}

int run_archive_verb(std::string_view name, std::string_view request_json) {
  const Verb* verb = find_verb(name);
  Result<ArchiveRequest> request = parse_archive_request(request_json);
  if (verb == nullptr || !request) {
    tell(request ? Error(Code::kInternal, "no such verb") : std::move(request).error());
    return kOwnFailure;
  }
  Result<int> done = verb->function(*request);
  if (!done) {
    tell(std::move(done).error().during(verb->shown));
    return kOwnFailure;
  }
  if (verb->adds) collect_by_policy(request->data_dir, request->shipped, request->tenant);
  return *done;
}

}  // namespace vrun::images
