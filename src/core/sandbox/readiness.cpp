// SPDX-License-Identifier: Apache-2.0
#include "core/sandbox/readiness.h"

#include <algorithm>
#include <cerrno>
#include <memory>
#include <mutex>
#include <optional>

#include <curl/curl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>

#include "core/base/error.h"
#include "core/sandbox/ports.h"

namespace coldstart {

namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr std::pair<Readiness::Kind, const char*> kinds[] = {{Readiness::Kind::running, "running"},
                                                             {Readiness::Kind::url, "url"},
                                                             {Readiness::Kind::command, "command"},
                                                             {Readiness::Kind::log, "log"}};

/// What an attempt came to: nothing if it is ready, else what the answer was.
using Answer = std::optional<std::string>;

/// One wait: the deadline, and how every pause inside it ends early.
struct Wait {
  const ReadyTarget& target;
  const CancelToken& cancel;
  Clock::time_point deadline;

  milliseconds left() const {
    return std::max(milliseconds(0), std::chrono::duration_cast<milliseconds>(deadline - Clock::now()));
  }
  void check() const {
    cancel.check();
    target.check_alive();
  }
  /// Until `fd` (or -1) is readable, the target ends, we are cancelled, or `limit` is over.
  void pause(int fd, milliseconds limit) const {
    pollfd polls[3] = {{fd, POLLIN, 0}, {target.ended_fd, POLLIN, 0}, {cancel.fd(), POLLIN, 0}};
    if (::poll(polls, 3, static_cast<int>(std::min(limit, left()).count())) < 0 && errno != EINTR)
      throw Error::sys("cannot poll");
  }
};

// --- URL
// ---------------------------------------------------------------------------------------------------------

void check_curl(CURLcode code) {
  if (code != CURLE_OK) throw Error(std::string("libcurl: ") + curl_easy_strerror(code));
}

void start_curl() {
  static std::once_flag once;
  std::call_once(once, [] { check_curl(curl_global_init(CURL_GLOBAL_DEFAULT)); });
}

curl_socket_t open_socket(void* netns, curlsocktype, struct curl_sockaddr* address) {
  try {
    return socket_in(*static_cast<const int*>(netns), address->family, address->socktype).release();
  } catch (const Error&) {
    return CURL_SOCKET_BAD;  // curl says that it could not connect
  }
}

size_t drop(char*, size_t size, size_t count, void*) {
  return size * count;
}

Answer ask_url(const std::string& url, const Wait& wait) {
  constexpr milliseconds longest_attempt(30000);
  start_curl();
  const std::unique_ptr<CURL, void (*)(CURL*)> easy(curl_easy_init(), curl_easy_cleanup);
  const std::unique_ptr<CURLM, CURLMcode (*)(CURLM*)> multi(curl_multi_init(), curl_multi_cleanup);
  if (!easy || !multi) throw Error("libcurl cannot be started");
  CURL* c = easy.get();
  int netns = wait.target.netns;
  check_curl(curl_easy_setopt(c, CURLOPT_URL, url.c_str()));
  check_curl(curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https"));
  check_curl(curl_easy_setopt(c, CURLOPT_PROXY, ""));
  check_curl(curl_easy_setopt(c, CURLOPT_SSL_VERIFYPEER, 0L));  // the server is ours, its name seldom is
  check_curl(curl_easy_setopt(c, CURLOPT_SSL_VERIFYHOST, 0L));
  check_curl(curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L));
  check_curl(curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, drop));
  check_curl(curl_easy_setopt(c, CURLOPT_TIMEOUT_MS,
                              std::max<long>(1, std::min(wait.left(), longest_attempt).count())));
  check_curl(curl_easy_setopt(c, CURLOPT_OPENSOCKETFUNCTION, open_socket));
  check_curl(curl_easy_setopt(c, CURLOPT_OPENSOCKETDATA, &netns));
  curl_multi_add_handle(multi.get(), c);
  const auto remove = [&](CURL* handle) { curl_multi_remove_handle(multi.get(), handle); };
  const std::unique_ptr<CURL, decltype(remove)> added(c, remove);
  for (int running = 1; running != 0;) {
    if (const CURLMcode e = curl_multi_perform(multi.get(), &running); e != CURLM_OK)
      throw Error(std::string("libcurl: ") + curl_multi_strerror(e));
    if (running == 0) break;
    curl_waitfd others[2] = {{wait.cancel.fd(), CURL_WAIT_POLLIN, 0},
                             {wait.target.ended_fd, CURL_WAIT_POLLIN, 0}};
    curl_multi_poll(multi.get(), others, wait.target.ended_fd >= 0 ? 2 : 1, 1000, nullptr);
    wait.check();
  }
  int left = 0;
  const CURLMsg* message = curl_multi_info_read(multi.get(), &left);
  if (message == nullptr) throw Error("libcurl gave no result");
  if (message->data.result != CURLE_OK) return curl_easy_strerror(message->data.result);
  long status = 0;
  check_curl(curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status));
  if (status >= 200 && status < 400) return std::nullopt;
  return "HTTP " + std::to_string(status);
}

// --- command and log
// ---------------------------------------------------------------------------------------------

Answer run_command(const std::string& command, const Wait& wait) {
  ProgramSpec program;
  program.argv = {"sh", "-c", command};
  program.environment = wait.target.environment;
  program.fds = {{-1, 0}, {-1, 1}, {-1, 2}};
  Child child;
  try {
    child = wait.target.start(program);
  } catch (const Error& e) {
    if (e.exit() != Exit::no_program) throw;
    throw Error::missing("a readiness command needs a shell, and there is no sh inside", "use --ready URL");
  }
  for (;;) {
    if (const auto exit = child.wait_for(milliseconds(0))) {
      if (exit->ok()) return std::nullopt;
      return exit->text();
    }
    wait.check();
    if (wait.left().count() == 0) return "the command has not ended";
    wait.pause(child.pidfd(), wait.left());
  }
}

Answer attempt(const Readiness& readiness, const std::regex& pattern, const Wait& wait) {
  switch (readiness.kind) {
    case Readiness::Kind::running:
      return std::nullopt;
    case Readiness::Kind::url:
      return ask_url(readiness.value, wait);
    case Readiness::Kind::command:
      return run_command(readiness.value, wait);
    case Readiness::Kind::log:
      return wait.target.logged(pattern) ? Answer() : "no such line yet";
  }
  return std::nullopt;
}

std::regex compile(const Readiness& readiness) {
  if (readiness.kind != Readiness::Kind::log) return {};
  try {
    return std::regex(readiness.value, std::regex::ECMAScript | std::regex::optimize);
  } catch (const std::regex_error& e) {
    throw Error::usage("not a regular expression: '" + readiness.value + "': " + e.what());
  }
}

}  // namespace

void Readiness::check() const {
  compile(*this);
  if (kind == Kind::url && !value.starts_with("http://") && !value.starts_with("https://"))
    throw Error::usage("not an http URL: '" + value + "'", "such as http://127.0.0.1:8000/health");
}

std::string Readiness::text() const {
  switch (kind) {
    case Kind::running:
      return "the program to run";
    case Kind::url:
      return value + " to answer";
    case Kind::command:
      return "'" + value + "' to succeed";
    case Kind::log:
      return "a line that matches '" + value + "'";
  }
  return {};
}

OrderedJson Readiness::to_json() const {
  const char* name = nullptr;
  for (const auto& [k, text] : kinds)
    if (k == kind) name = text;
  return {{"kind", name}, {"value", value}, {"timeout_ms", timeout.count()}};
}

Readiness Readiness::from_json(const Json& json, const std::string& document) {
  Readiness readiness;
  const auto name = field<std::string>(json, "kind", document);
  const auto* const found =
      std::find_if(std::begin(kinds), std::end(kinds), [&](const auto& k) { return k.second == name; });
  if (found == std::end(kinds)) throw Error::corrupt(document + ": unknown kind of readiness '" + name + "'");
  readiness.kind = found->first;
  readiness.value = field<std::string>(json, "value", document);
  readiness.timeout = milliseconds(field<int64_t>(json, "timeout_ms", document));
  return readiness;
}

void wait_until_ready(const Readiness& readiness, const ReadyTarget& target, const CancelToken& cancel) {
  const std::regex pattern = compile(readiness);
  const Wait wait{target, cancel, Clock::now() + readiness.timeout};
  std::string said;  // the last answer that the deadline did not cut short
  for (milliseconds interval(2);; interval = std::min(interval * 3 / 2, milliseconds(50))) {
    const Answer answer = attempt(readiness, pattern, wait);
    if (!answer) return;
    wait.check();
    if (said.empty() || wait.left().count() > 0) said = *answer;
    if (wait.left().count() == 0) {
      const std::string last = target.last_words();
      throw Error(
          fmt::format("waited {:g} s in vain for {} (last answer: {})",
                      std::chrono::duration<double>(readiness.timeout).count(), readiness.text(), said),
          last.empty() ? "give it more time with --timeout" : "its last words: " + last, Exit::failed);
    }
    wait.pause(-1, interval);
  }
}

}  // namespace coldstart
