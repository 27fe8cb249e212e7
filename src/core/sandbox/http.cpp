// SPDX-License-Identifier: Apache-2.0
#include "core/sandbox/http.h"

#include <memory>

#include <curl/curl.h>
#include <fmt/format.h>

#include "core/base/error.h"
#include "core/sandbox/ports.h"

namespace coldstart {

namespace {

constexpr size_t body_limit = size_t{16} << 20;

/// What curl's callbacks are given.
struct Transfer {
  int netns;
  const CancelToken& cancel;
  std::string body;
  std::string failure;  // of our callbacks, which may not throw through curl
};

size_t take_body(const char* data, size_t size, size_t count, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  if (transfer.body.size() + size * count > body_limit) return 0;
  transfer.body.append(data, size * count);
  return size * count;
}

curl_socket_t open_socket(void* user, curlsocktype, curl_sockaddr* address) {
  auto& transfer = *static_cast<Transfer*>(user);
  try {
    return socket_in(transfer.netns, address->family, address->socktype).release();
  } catch (const Error& e) {
    transfer.failure = e.message();
    return CURL_SOCKET_BAD;
  }
}

int stop_when_cancelled(void* user, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  return static_cast<Transfer*>(user)->cancel.cancelled() ? 1 : 0;
}

struct CurlDeleter {
  void operator()(CURL* curl) const { curl_easy_cleanup(curl); }
};

}  // namespace

bool is_http_url(std::string_view text) {
  return text.starts_with("http://") || text.starts_with("https://");
}

HttpAnswer http_get(const std::string& url, int netns, std::chrono::milliseconds timeout,
                    const CancelToken& cancel) {
  const std::unique_ptr<CURL, CurlDeleter> owner(curl_easy_init());
  CURL* const curl = owner.get();
  if (curl == nullptr) throw Error("cannot set up a request");
  Transfer transfer{netns, cancel, {}, {}};
  curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_PROXY, "");
  curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, static_cast<long>(timeout.count()));
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &transfer);
  curl_easy_setopt(curl, CURLOPT_OPENSOCKETFUNCTION, open_socket);
  curl_easy_setopt(curl, CURLOPT_OPENSOCKETDATA, &transfer);
  curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, stop_when_cancelled);
  curl_easy_setopt(curl, CURLOPT_XFERINFODATA, &transfer);
  const CURLcode code = curl_easy_perform(curl);
  cancel.check();
  if (code == CURLE_URL_MALFORMAT || code == CURLE_UNSUPPORTED_PROTOCOL || !is_http_url(url))
    throw Error::usage(fmt::format("'{}' is no URL that can be asked", url));
  HttpAnswer answer;
  if (code == CURLE_OK)
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &answer.status);
  else
    answer.failure = transfer.failure.empty() ? curl_easy_strerror(code) : transfer.failure;
  answer.body = std::move(transfer.body);
  return answer;
}

}  // namespace coldstart
