#include "images/transfer/http.hpp"

#include <algorithm>
#include <limits>

#include <curl/curl.h>

#include "base/text.hpp"

namespace vrun::images {
namespace {

using Clock = std::chrono::steady_clock;
constexpr long kBufferBytes = 256L << 10;

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

struct HeaderList {
  ~HeaderList() { curl_slist_free_all(list); }
  void add(const std::string& line) { list = curl_slist_append(list, line.c_str()); }
  curl_slist* list = nullptr;
};

// What libcurl's callbacks share during one exchange.
struct Exchange {
  const HttpRequest& request;
  const HttpSink& sink;
  HttpAnswer answer;
  Clock::time_point last_byte = Clock::now();
  curl_off_t sent = 0;

  bool is_success() const { return answer.head.status >= 200 && answer.head.status < 300; }
};

std::size_t fail_in(Exchange& exchange, HttpTrouble trouble, Error error) {
  exchange.answer.trouble = trouble;
  exchange.answer.error = std::move(error);
  return CURL_WRITEFUNC_ERROR;
}

std::size_t on_header(char* data, std::size_t, std::size_t bytes, void* self) {
  auto& exchange = *static_cast<Exchange*>(self);
  const std::string_view line = trim({data, bytes});
  HttpHead& head = exchange.answer.head;
  if (line.starts_with("HTTP/")) {  // also after "100 Continue" and a proxy's own answer
    head = {};
    const std::size_t space = line.find(' ');
    const auto status =
        space == std::string_view::npos ? std::nullopt : parse_u64(line.substr(space + 1, 3));
    head.status = static_cast<long>(status.value_or(0));
    return bytes;
  }
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos) return bytes;
  constexpr std::size_t kMostHeaders = 200;
  if (head.headers.size() > kMostHeaders) {
    return fail_in(exchange, HttpTrouble::kSink, Error(Code::kInvalid, "too many header lines"));
  }
  std::string name(line.substr(0, colon));
  std::transform(name.begin(), name.end(), name.begin(), lower);
  std::string& value = head.headers[name];
  if (!value.empty()) value += ", ";
  value += trim(line.substr(colon + 1));
  return bytes;
}

std::size_t on_body(char* data, std::size_t, std::size_t bytes, void* self) {
  auto& exchange = *static_cast<Exchange*>(self);
  if (exchange.sink && exchange.is_success()) {
    Result<void> taken = exchange.sink(exchange.answer.head, {data, bytes});
    if (!taken) return fail_in(exchange, HttpTrouble::kSink, std::move(taken).error());
  } else {
    std::string& body = exchange.answer.body;
    if (body.size() + bytes > exchange.request.body_limit) {
      return fail_in(
          exchange, HttpTrouble::kSink,
          Error(Code::kInvalid, "the answer is larger than " +
                                    std::to_string(exchange.request.body_limit) + " bytes"));
    }
    body.append(data, bytes);
  }
  exchange.last_byte = Clock::now();  // after the sink: its own waiting is no stall of the server
  return bytes;
}

std::size_t on_upload(char* data, std::size_t, std::size_t bytes, void* self) {
  auto& exchange = *static_cast<Exchange*>(self);
  Result<std::size_t> n = exchange.request.upload({data, bytes});
  if (n) return *n;
  fail_in(exchange, HttpTrouble::kSink, std::move(n).error());
  return CURL_READFUNC_ABORT;
}

// libcurl calls this about once a second, and at every byte.
int on_progress(void* self, curl_off_t, curl_off_t, curl_off_t, curl_off_t sent) {
  auto& exchange = *static_cast<Exchange*>(self);
  const auto now = Clock::now();
  if (sent != exchange.sent) {
    exchange.sent = sent;
    exchange.last_byte = now;
  }
  if (now > exchange.request.deadline) {
    fail_in(exchange, HttpTrouble::kDeadline, Error(Code::kTimeout, "took too long altogether"));
    return 1;
  }
  if (now - exchange.last_byte > exchange.request.stall_timeout) {
    const auto seconds =
        std::chrono::duration_cast<std::chrono::seconds>(exchange.request.stall_timeout);
    fail_in(exchange, HttpTrouble::kStalled,
            Error(Code::kTimeout, "no byte for " + std::to_string(seconds.count()) + " seconds"));
    return 1;
  }
  return 0;
}

bool was_connected(CURL* handle) {
  curl_off_t microseconds = 0;
  return curl_easy_getinfo(handle, CURLINFO_CONNECT_TIME_T, &microseconds) == CURLE_OK &&
         microseconds > 0;
}

HttpTrouble trouble_of(CURL* handle, CURLcode code, const char* words) {
  switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_CONNECT:
      return HttpTrouble::kConnect;
    case CURLE_OPERATION_TIMEDOUT:
      return was_connected(handle) ? HttpTrouble::kStalled : HttpTrouble::kConnect;
    case CURLE_SSL_CONNECT_ERROR:
      // OpenSSL's words for a peer that answers a ClientHello with text.
      return std::string_view(words).find("wrong version number") != std::string_view::npos
                 ? HttpTrouble::kNotTls
                 : HttpTrouble::kBroken;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
      return HttpTrouble::kUntrusted;
    default:
      return HttpTrouble::kBroken;
  }
}

template <typename T>
void set(CURL* handle, CURLoption option, T value) {
  // Options that this libcurl does not have would be a fault of the build; values are checked by
  // perform().
  static_cast<void>(curl_easy_setopt(handle, option, value));
}

void set_trust(CURL* handle, const Trust& trust) {
  set(handle, CURLOPT_SSL_VERIFYPEER, trust.check_certificate ? 1L : 0L);
  set(handle, CURLOPT_SSL_VERIFYHOST, trust.check_certificate ? 2L : 0L);
  if (trust.ca_pem.empty()) return;
  curl_blob blob{const_cast<char*>(trust.ca_pem.data()), trust.ca_pem.size(), CURL_BLOB_NOCOPY};
  set(handle, CURLOPT_CAINFO_BLOB, &blob);
  set(handle, CURLOPT_CAPATH, static_cast<const char*>(nullptr));
}

void set_limits(CURL* handle, Exchange& exchange) {
  set(handle, CURLOPT_CONNECTTIMEOUT_MS,
      static_cast<long>(exchange.request.connect_timeout.count()));
  set(handle, CURLOPT_NOPROGRESS, 0L);
  set(handle, CURLOPT_XFERINFOFUNCTION, &on_progress);
  set(handle, CURLOPT_XFERINFODATA, &exchange);
  set(handle, CURLOPT_BUFFERSIZE, kBufferBytes);
  set(handle, CURLOPT_UPLOAD_BUFFERSIZE, kBufferBytes);
}

void set_body(CURL* handle, const HttpRequest& request, Exchange& exchange, HeaderList& headers) {
  const std::string& method = request.method;
  if (method == "HEAD") set(handle, CURLOPT_NOBODY, 1L);
  if (request.upload) {
    set(handle, CURLOPT_UPLOAD, 1L);
    set(handle, CURLOPT_READFUNCTION, &on_upload);
    set(handle, CURLOPT_READDATA, &exchange);
    set(handle, CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(request.upload_bytes));
    // Waiting for "100 Continue" costs a round trip, or a second with servers that never say it.
    headers.add("Expect:");
  } else if (method == "POST" || method == "PUT" || method == "PATCH") {
    set(handle, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
    set(handle, CURLOPT_POSTFIELDS, request.body.data());
    headers.add("Expect:");
  }
  if (method != "GET" && method != "HEAD") set(handle, CURLOPT_CUSTOMREQUEST, method.c_str());
}

}  // namespace

std::string_view HttpHead::header(std::string_view name) const {
  const auto found = headers.find(std::string(name));
  return found == headers.end() ? std::string_view() : std::string_view(found->second);
}

void prepare_http() {
  curl_global_init(CURL_GLOBAL_DEFAULT);
}

HttpClient::HttpClient() : handle_(curl_easy_init()) {}

HttpClient::~HttpClient() {
  curl_easy_cleanup(handle_);
}

HttpAnswer HttpClient::perform(const HttpRequest& request, const HttpSink& sink) {
  Exchange exchange{.request = request, .sink = sink, .answer = {}};
  CURL* handle = handle_;
  curl_easy_reset(handle);  // keeps connections and the DNS cache
  char words[CURL_ERROR_SIZE] = "";
  set(handle, CURLOPT_ERRORBUFFER, words);
  set(handle, CURLOPT_URL, request.url.c_str());
  set(handle, CURLOPT_PROTOCOLS_STR, "http,https");
  set(handle, CURLOPT_FOLLOWLOCATION, 0L);
  set(handle, CURLOPT_NOSIGNAL, 1L);
  // With HTTP/2 a slow reader makes libcurl buffer whole windows of 32 MB; one connection for each
  // transfer needs none of its merits.
  set(handle, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  set(handle, CURLOPT_USERAGENT, "vrun/" VRUN_VERSION);
  set(handle, CURLOPT_HEADERFUNCTION, &on_header);
  set(handle, CURLOPT_HEADERDATA, &exchange);
  set(handle, CURLOPT_WRITEFUNCTION, &on_body);
  set(handle, CURLOPT_WRITEDATA, &exchange);
  if (request.direct) set(handle, CURLOPT_NOPROXY, "*");
  set_trust(handle, request.trust);
  set_limits(handle, exchange);
  HeaderList headers;
  for (const std::string& line : request.headers)
    headers.add(line);
  set_body(handle, request, exchange, headers);
  set(handle, CURLOPT_HTTPHEADER, headers.list);
  const CURLcode code = curl_easy_perform(handle);
  if (code == CURLE_OK || exchange.answer.error) return std::move(exchange.answer);
  exchange.answer.trouble = trouble_of(handle, code, words);
  const std::string why = words[0] != '\0' ? words : curl_easy_strerror(code);
  exchange.answer.error = Error(Code::kSystem, printable(why));
  return std::move(exchange.answer);
}

}  // namespace vrun::images
