// SPDX-License-Identifier: Apache-2.0
#include "core/pool/client.h"

#include <memory>

#include <curl/curl.h>
#include <fmt/format.h>

#include "core/base/error.h"
#include "core/pool/listener.h"

namespace coldstart {

namespace {

constexpr size_t longest_answer = size_t{16} << 20;

size_t take_body(const char* data, size_t size, size_t count, void* user) {
  auto& body = *static_cast<std::string*>(user);
  if (body.size() + size * count > longest_answer) return 0;
  body.append(data, size * count);
  return size * count;
}

int stop_when_cancelled(void* user, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  return static_cast<const CancelToken*>(user)->cancelled() ? 1 : 0;
}

struct CurlDeleter {
  void operator()(CURL* curl) const { curl_easy_cleanup(curl); }
};

template <class T>
void set(CURL* curl, CURLoption option, T value) {
  if (const CURLcode code = curl_easy_setopt(curl, option, value); code != CURLE_OK)
    throw Error(std::string("libcurl: ") + curl_easy_strerror(code));
}

}  // namespace

Json ask_pool(const PoolEntry& pool, const std::string& method, const std::string& path,
              const OrderedJson& body, std::chrono::milliseconds timeout, const CancelToken& cancel) {
  const std::unique_ptr<CURL, CurlDeleter> owner(curl_easy_init());
  CURL* const curl = owner.get();
  if (curl == nullptr) throw Error("libcurl cannot be started");
  const ListenAddress address = ListenAddress::parse(pool.listen);
  const std::string host = address.path.empty() ? address.text() : "pool";
  const std::string url = "http://" + host + path;
  const std::string text = body.dump();
  std::string answer;
  if (!address.path.empty()) set(curl, CURLOPT_UNIX_SOCKET_PATH, address.path.c_str());
  set(curl, CURLOPT_URL, url.c_str());
  set(curl, CURLOPT_PROXY, "");
  set(curl, CURLOPT_NOSIGNAL, 1L);
  set(curl, CURLOPT_TIMEOUT_MS, static_cast<long>(timeout.count()));
  set(curl, CURLOPT_WRITEFUNCTION, take_body);
  set(curl, CURLOPT_WRITEDATA, &answer);
  set(curl, CURLOPT_NOPROGRESS, 0L);
  set(curl, CURLOPT_XFERINFOFUNCTION, stop_when_cancelled);
  set(curl, CURLOPT_XFERINFODATA, &cancel);
  if (method == "POST") {
    set(curl, CURLOPT_POSTFIELDSIZE, static_cast<long>(text.size()));
    set(curl, CURLOPT_POSTFIELDS, text.c_str());
  }
  const CURLcode code = curl_easy_perform(curl);
  cancel.check();
  if (code != CURLE_OK)
    throw Error(fmt::format("the pool {} does not answer: {}", pool.name, curl_easy_strerror(code)));
  const std::string document = "the pool's answer";
  Json json = parse_json(answer, document);
  if (json.contains("error")) throw error_from_json(json["error"], document);
  return json;
}

}  // namespace coldstart
