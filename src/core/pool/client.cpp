// SPDX-License-Identifier: Apache-2.0
#include "core/pool/client.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>

#include <curl/curl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>

#include "core/base/error.h"
#include "core/base/unix_socket.h"
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

/// Another host's, or one that listens on a port.
std::string ask_by_curl(const std::string& host, const std::string& method, const std::string& path,
                        const std::string& text, std::chrono::milliseconds timeout,
                        const CancelToken& cancel) {
  const std::unique_ptr<CURL, CurlDeleter> owner(curl_easy_init());
  CURL* const curl = owner.get();
  if (curl == nullptr) throw Error("libcurl cannot be started");
  const std::string url = "http://" + host + path;
  std::string answer;
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
  if (code != CURLE_OK) throw Error(curl_easy_strerror(code));
  return answer;
}

/// What comes until the other side closes.
std::string read_all(const Fd& socket, std::chrono::milliseconds timeout, const CancelToken& cancel) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  std::string all;
  for (;;) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0) throw Error("it took too long");
    pollfd polls[2] = {{socket.get(), POLLIN, 0}, {cancel.fd(), POLLIN, 0}};
    const int most = static_cast<int>(std::min<int64_t>(left.count(), 1 << 30));
    if (::poll(polls, 2, most) < 0 && errno != EINTR) throw Error::sys("cannot poll");
    cancel.check();
    if (polls[0].revents == 0) continue;
    std::array<char, 16384> buffer;
    const ssize_t n = ::recv(socket.get(), buffer.data(), buffer.size(), 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw Error::sys("the connection broke");
    if (n == 0) return all;
    all.append(buffer.data(), static_cast<size_t>(n));
    if (all.size() > longest_answer) throw Error("its answer is too long");
  }
}

/// On this host. Loading libcurl takes longer than a claim: HTTP/1.0 needs no more than this.
std::string ask_by_socket(const std::string& file, const std::string& method, const std::string& path,
                          const std::string& text, std::chrono::milliseconds timeout,
                          const CancelToken& cancel) {
  const auto socket = connect_to(file, SOCK_STREAM);
  if (!socket) throw Error("nobody listens on " + file);
  const std::string content = method == "POST" ? text : std::string();
  std::string request =
      fmt::format("{} {} HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{}", method,
                  path, content.size(), content);
  for (std::string_view rest = request; !rest.empty();) {
    const ssize_t n = ::send(socket->get(), rest.data(), rest.size(), MSG_NOSIGNAL);
    if (n < 0 && errno != EINTR) throw Error::sys("the connection broke");
    if (n > 0) rest.remove_prefix(static_cast<size_t>(n));
  }
  const std::string answer = read_all(*socket, timeout, cancel);
  const size_t head = answer.find("\r\n\r\n");
  if (!answer.starts_with("HTTP/1.") || head == std::string::npos) throw Error("its answer is not HTTP");
  return answer.substr(head + 4);
}

}  // namespace

Json ask_pool(const PoolEntry& pool, const std::string& method, const std::string& path,
              const OrderedJson& body, std::chrono::milliseconds timeout, const CancelToken& cancel) {
  const ListenAddress address = ListenAddress::parse(pool.listen);
  std::string answer;
  try {
    answer = address.path.empty() ? ask_by_curl(address.text(), method, path, body.dump(), timeout, cancel)
                                  : ask_by_socket(address.path, method, path, body.dump(), timeout, cancel);
  } catch (const Error& e) {
    cancel.check();
    throw Error(fmt::format("the pool {} does not answer: {}", pool.name, e.message()));
  }
  const std::string document = "the pool's answer";
  Json json = parse_json(answer, document);
  if (json.contains("error")) throw error_from_json(json["error"], document);
  return json;
}

}  // namespace coldstart
