// SPDX-License-Identifier: Apache-2.0
#include "core/remote/http_client.h"

#include <algorithm>
#include <cstdlib>

#include <curl/curl.h>
#include <fmt/format.h>

#include "core/remote/deadline.h"

namespace coldstart {

namespace {

using Kind = RemoteError::Kind;
using std::chrono::milliseconds;

constexpr long most_redirects = 5;
constexpr uint64_t slowest_bytes_per_ms = 64;
constexpr size_t longest_error_body = 64 << 10;

/// What curl's callbacks, which may not throw, are given.
struct Transfer {
  const HttpRequest& request;
  const CancelToken* cancel;
  CURL* curl;
  HttpResponse response;
  uint64_t skipped = 0;   // of a whole object that came instead of a range
  uint64_t sent = 0;      // of the body
  bool complete = false;  // all that was asked for is here: the rest is not wanted
  bool too_large = false;
  std::string wrong;  // in the headers

  size_t limit() const {
    if (response.status >= 300) return longest_error_body;
    return request.range ? request.range->length : request.body_limit;
  }
};

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

std::string_view trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

/// A new status line begins a new answer: after a redirect, or after "100 Continue".
size_t take_header(const char* data, size_t size, size_t count, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  const std::string_view line(data, size * count);
  if (line.starts_with("HTTP/")) {
    transfer.response.headers.clear();
    const size_t space = line.find(' ');
    transfer.response.status =
        space == std::string_view::npos ? 0 : std::strtol(line.data() + space + 1, nullptr, 10);
    transfer.response.body.clear();
    transfer.skipped = 0;
  } else if (const size_t colon = line.find(':'); colon != std::string_view::npos) {
    if (transfer.response.headers.size() < 256)
      transfer.response.headers[lower(line.substr(0, colon))] = trimmed(line.substr(colon + 1));
  }
  return size * count;
}

/// True if a 206 says that it is the range that was asked for.
bool right_range(const Transfer& transfer) {
  const ByteRange& want = *transfer.request.range;
  const std::string said = transfer.response.header("content-range");
  return said.starts_with(fmt::format("bytes {}-{}/", want.offset, want.offset + want.length - 1));
}

size_t take_body(const char* data, size_t size, size_t count, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  HttpResponse& response = transfer.response;
  ByteSpan bytes = std::as_bytes(std::span(data, size * count));
  if (transfer.request.range && response.status == 206 && response.body.empty() && !right_range(transfer)) {
    transfer.wrong = "it gave another range (" + response.header("content-range") + ") than asked for";
    return 0;
  }
  if (transfer.request.range && response.status == 200) {
    const size_t skip = std::min<uint64_t>(bytes.size(), transfer.request.range->offset - transfer.skipped);
    transfer.skipped += skip;
    bytes = bytes.subspan(skip);
  }
  const size_t room = transfer.limit() - std::min(transfer.limit(), response.body.size());
  const ByteSpan taken = bytes.first(std::min(room, bytes.size()));
  try {
    append(response.body, taken);
  } catch (const std::bad_alloc&) {
    return 0;
  }
  if (transfer.request.range && response.status == 200 && response.body.size() == transfer.limit() &&
      taken.size() < size * count) {
    transfer.complete = true;
    return 0;
  }
  if (taken.size() < bytes.size() && response.status < 300) {
    transfer.too_large = true;
    return 0;
  }
  return size * count;
}

size_t give_body(char* to, size_t size, size_t count, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  const ObjectSource& source = *transfer.request.body;
  const size_t now = std::min<uint64_t>(size * count, source.length() - transfer.sent);
  try {
    const MutableByteSpan into(reinterpret_cast<std::byte*>(to), now);
    if (source.fd < 0)
      std::copy_n(source.bytes.begin() + static_cast<ptrdiff_t>(transfer.sent), now, into.begin());
    else if (pread_full(source.fd, into, static_cast<off_t>(transfer.sent)) != now)
      return CURL_READFUNC_ABORT;
    transfer.sent += now;
    if (source.sent) source.sent(now);
  } catch (const std::exception&) {
    return CURL_READFUNC_ABORT;
  }
  return now;
}

/// curl wants to send the body again (a redirect, a connection that was closed meanwhile).
int rewind_body(void* user, curl_off_t offset, int origin) {
  if (origin != SEEK_SET || offset < 0) return CURL_SEEKFUNC_CANTSEEK;
  static_cast<Transfer*>(user)->sent = static_cast<uint64_t>(offset);
  return CURL_SEEKFUNC_OK;
}

int stop_when_cancelled(void* user, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  const CancelToken* cancel = static_cast<Transfer*>(user)->cancel;
  return cancel != nullptr && cancel->cancelled() ? 1 : 0;
}

struct HeaderList {
  curl_slist* list = nullptr;
  HeaderList() = default;
  HeaderList(const HeaderList&) = delete;
  HeaderList& operator=(const HeaderList&) = delete;
  ~HeaderList() { curl_slist_free_all(list); }
  void add(const std::string& line) {
    curl_slist* longer = curl_slist_append(list, line.c_str());
    if (longer == nullptr) throw std::bad_alloc();
    list = longer;
  }
};

/// The time until the deadline. Retry has moved that by what a large body takes; without it, by as much as
/// here.
milliseconds time_for(const HttpRequest& request, milliseconds deadline) {
  uint64_t bytes = request.range ? request.range->length : 0;
  if (request.body != nullptr) bytes = std::max(bytes, request.body->length());
  return Deadline::left(deadline + milliseconds(bytes / slowest_bytes_per_ms));
}

void set_limits(CURL* curl, const HttpRequest& request, milliseconds deadline) {
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, static_cast<long>(time_for(request, deadline).count()));
  // A third: so that a server that hangs is asked again before the deadline.
  const long third = std::max<long>(1, static_cast<long>(deadline.count() / 3000));
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, std::min<long>(10000, third * 1000));
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1000L);
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, third);
  curl_easy_setopt(curl, CURLOPT_TCP_KEEPALIVE, 1L);
  curl_easy_setopt(curl, CURLOPT_BUFFERSIZE, 256L << 10);
  curl_easy_setopt(curl, CURLOPT_UPLOAD_BUFFERSIZE, 256L << 10);
  curl_easy_setopt(curl, CURLOPT_USERAGENT, "coldstart/" COLDSTART_VERSION);
  for (const char* name : {"AWS_CA_BUNDLE", "SSL_CERT_FILE"}) {
    const char* file = std::getenv(name);
    if (file == nullptr || *file == '\0') continue;
    curl_easy_setopt(curl, CURLOPT_CAINFO, file);
    break;
  }
}

void set_request(CURL* curl, const HttpRequest& request, HeaderList& headers) {
  curl_easy_setopt(curl, CURLOPT_URL, request.url.c_str());
  curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, request.follow ? 1L : 0L);
  curl_easy_setopt(curl, CURLOPT_MAXREDIRS, most_redirects);
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
  if (request.method == "HEAD") {
    curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
  } else if (request.body != nullptr) {
    curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(curl, CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(request.body->length()));
    // "Expect: 100-continue" costs a round trip and saves nothing. It is not just taken out by a header
    // "Expect:", because curl would sign that one without sending it.
    curl_easy_setopt(curl, CURLOPT_EXPECT_100_TIMEOUT_MS, 1L);
  }
  if (request.method != "HEAD") curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, request.method.c_str());
  if (request.range) {
    const std::string range =
        fmt::format("{}-{}", request.range->offset, request.range->offset + request.range->length - 1);
    curl_easy_setopt(curl, CURLOPT_RANGE, range.c_str());
  }
  if (!request.sigv4.empty()) {
    curl_easy_setopt(curl, CURLOPT_AWS_SIGV4, request.sigv4.c_str());
    curl_easy_setopt(curl, CURLOPT_USERNAME, request.user.c_str());
    curl_easy_setopt(curl, CURLOPT_PASSWORD, request.password.c_str());
  }
  for (const std::string& header : request.headers) headers.add(header);
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers.list);
}

void set_callbacks(CURL* curl, Transfer& transfer) {
  curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_header);
  curl_easy_setopt(curl, CURLOPT_HEADERDATA, &transfer);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &transfer);
  curl_easy_setopt(curl, CURLOPT_READFUNCTION, give_body);
  curl_easy_setopt(curl, CURLOPT_READDATA, &transfer);
  curl_easy_setopt(curl, CURLOPT_SEEKFUNCTION, rewind_body);
  curl_easy_setopt(curl, CURLOPT_SEEKDATA, &transfer);
  curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, stop_when_cancelled);
  curl_easy_setopt(curl, CURLOPT_XFERINFODATA, &transfer);
}

RemoteError failure_of(CURLcode code, const Transfer& transfer, const std::string& what) {
  const std::string cannot = "cannot reach " + what + ": ";
  if (!transfer.wrong.empty()) return {Kind::transient, what + " answered wrongly: " + transfer.wrong};
  if (transfer.too_large) return {Kind::refused, what + " sent more than was asked for"};
  switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
      return {Kind::unreachable, cannot + "there is no such host", "is its name right, and DNS at work?"};
    case CURLE_COULDNT_RESOLVE_PROXY:
      return {Kind::unreachable, cannot + "there is no such proxy", "see http_proxy and https_proxy"};
    case CURLE_COULDNT_CONNECT:
      return {Kind::unreachable, cannot + "nobody answers there",
              "is the server running, and the port right?"};
    case CURLE_PEER_FAILED_VERIFICATION:
      return {Kind::refused, cannot + "its certificate is not trusted",
              "name the authority's certificate by SSL_CERT_FILE"};
    case CURLE_SSL_CONNECT_ERROR:
      return {Kind::transient, cannot + "no TLS connection could be made", "does it speak plain HTTP?"};
    case CURLE_TOO_MANY_REDIRECTS:
      return {Kind::refused, what + " redirects in circles"};
    case CURLE_OPERATION_TIMEDOUT:
      return {Kind::transient, what + " does not answer in time"};
    case CURLE_PARTIAL_FILE:
      return {Kind::transient, what + " sent less than it said"};
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
      return {Kind::refused, cannot + "its URL is not one that can be asked"};
    default:
      return {Kind::transient, cannot + lower(std::string(curl_easy_strerror(code)).substr(0, 1)) +
                                   std::string(curl_easy_strerror(code)).substr(1)};
  }
}

}  // namespace

/// A curl handle for one request; it and its connections go back for the next one.
class HttpClient::Lease {
 public:
  explicit Lease(HttpClient& client) : client_(client) {
    {
      const std::lock_guard lock(client.mutex_);
      if (!client.idle_.empty()) {
        curl_ = client.idle_.back();
        client.idle_.pop_back();
      }
    }
    if (curl_ == nullptr) curl_ = curl_easy_init();
    if (curl_ == nullptr) throw Error("cannot set up a request");
  }
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;
  ~Lease() {
    curl_easy_reset(curl_);  // its connections stay
    const std::lock_guard lock(client_.mutex_);
    client_.idle_.push_back(curl_);
  }
  CURL* get() const { return curl_; }

 private:
  HttpClient& client_;
  CURL* curl_ = nullptr;
};

HttpClient::HttpClient(std::string what, const RemoteOptions& options)
    : what_(std::move(what)), deadline_(options.deadline), cancel_(options.cancel) {}

HttpClient::~HttpClient() {
  for (void* curl : idle_) curl_easy_cleanup(curl);
}

HttpResponse HttpClient::perform(const HttpRequest& request) {
  if (cancel_ != nullptr) cancel_->check();
  const Lease lease(*this);
  Transfer transfer{request, cancel_, lease.get(), {}, 0, 0, false, false, {}};
  HeaderList headers;
  set_limits(lease.get(), request, deadline_);
  set_request(lease.get(), request, headers);
  set_callbacks(lease.get(), transfer);
  const CURLcode code = curl_easy_perform(lease.get());
  if (cancel_ != nullptr) cancel_->check();
  if (code != CURLE_OK && !transfer.complete) throw failure_of(code, transfer, what_);
  HttpResponse& response = transfer.response;
  if (request.range && request.method == "GET" && (response.status == 200 || response.status == 206) &&
      response.body.size() != request.range->length)
    throw RemoteError(Kind::transient, what_ + " sent less than was asked for");
  return std::move(response);
}

RemoteError http_failure(const HttpResponse& response, const std::string& doing, const std::string& said,
                         const std::string& hint) {
  const std::string what = said.empty()
                               ? fmt::format("{}: the server answers {}", doing, response.status)
                               : fmt::format("{}: the server answers {}, {}", doing, response.status, said);
  Kind kind = Kind::refused;
  if (response.status == 404 || response.status == 410) {
    kind = Kind::absent;
  } else if (response.status == 401 || response.status == 403 || response.status == 407) {
    kind = Kind::denied;
  } else if (response.status == 408 || response.status == 425 || response.status == 429 ||
             (response.status >= 500 && response.status != 501 && response.status != 505)) {
    kind = Kind::transient;
  } else if (response.status >= 300 && response.status < 400) {
    kind = Kind::refused;
  }
  RemoteError error(kind, what, hint);
  if (const std::string after = response.header("retry-after"); !after.empty())
    error.retry_after = milliseconds(std::clamp(std::strtol(after.c_str(), nullptr, 10), 0L, 3600L) * 1000);
  return error;
}

namespace {

std::string encode(std::string_view text, bool keep_slash) {
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       std::string_view("-._~").find(c) != std::string_view::npos;
    if (plain || (keep_slash && c == '/'))
      out += c;
    else
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return out;
}

}  // namespace

std::string encode_path(std::string_view path) {
  return encode(path, true);
}

std::string encode_query(std::string_view text) {
  return encode(text, false);
}

}  // namespace coldstart
