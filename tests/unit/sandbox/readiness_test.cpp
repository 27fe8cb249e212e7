// SPDX-License-Identifier: Apache-2.0
#include "core/sandbox/readiness.h"

#include <atomic>
#include <csignal>
#include <thread>

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/error.h"

using namespace coldstart;
using std::chrono::milliseconds;

namespace {

/// Answers each connection with the next of the status lines, the last one for ever.
class TinyServer {
 public:
  explicit TinyServer(std::vector<std::string> answers) : answers_(std::move(answers)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    check(::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), size), "bind");
    check(::getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &size), "getsockname");
    port_ = ntohs(address.sin_port);
    check(::listen(listener_.get(), 16), "listen");
    thread_ = std::thread([this] { serve(); });
  }
  ~TinyServer() {
    const uint64_t one = 1;
    CHECK(::write(stop_.get(), &one, sizeof one) == sizeof one);
    thread_.join();
  }
  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_) + "/health"; }
  int asked() const { return asked_; }

 private:
  void serve() {
    for (;;) {
      pollfd polls[2] = {{listener_.get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}};
      if (::poll(polls, 2, -1) < 0) continue;
      if (polls[1].revents != 0) return;
      const Fd peer(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      char request[4096];
      if (::recv(peer.get(), request, sizeof request, 0) <= 0) continue;
      const size_t which = std::min<size_t>(static_cast<size_t>(asked_++), answers_.size() - 1);
      const std::string text =
          "HTTP/1.1 " + answers_[which] + "\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
      ::send(peer.get(), text.data(), text.size(), MSG_NOSIGNAL);
    }
  }
  std::vector<std::string> answers_;
  Fd listener_{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  Fd stop_{::eventfd(0, EFD_CLOEXEC)};
  uint16_t port_ = 0;
  std::atomic<int> asked_{0};
  std::thread thread_;
};

Readiness when(Readiness::Kind kind, std::string value, milliseconds timeout = std::chrono::seconds(60)) {
  return {kind, std::move(value), timeout};
}

std::string failure_of(const Readiness& readiness, const ReadyTarget& target, const CancelToken& cancel) {
  try {
    wait_until_ready(readiness, target, cancel);
  } catch (const Error& e) {
    return e.message() + " | " + e.hint();
  }
  return "none";
}

bool has(const std::string& text, const std::string& part) {
  INFO(text);
  const bool found = text.find(part) != std::string::npos;
  CHECK(found);
  return found;
}

}  // namespace

TEST_CASE("a URL is asked until it answers 2xx or 3xx") {
  const CancelToken cancel;
  TinyServer server({"503 Not yet", "500 Oops", "200 OK"});
  wait_until_ready(when(Readiness::Kind::url, server.url()), {}, cancel);
  CHECK(server.asked() == 3);
  TinyServer redirecting({"302 Found"});
  wait_until_ready(when(Readiness::Kind::url, redirecting.url()), {}, cancel);
}

TEST_CASE("past the timeout the error has what was waited for, the last answer and the last words") {
  const CancelToken cancel;
  TinyServer server({"503 Not yet"});
  ReadyTarget target;
  target.last_words = [] { return "loading weights"; };
  const std::string failure =
      failure_of(when(Readiness::Kind::url, server.url(), milliseconds(1000)), target, cancel);
  has(failure, server.url());
  has(failure, "HTTP 503");
  has(failure, "loading weights");
}

TEST_CASE("a command is run until it succeeds") {
  const CancelToken cancel;
  int runs = 0;
  ReadyTarget target;
  target.start = [&](const ProgramSpec& program) {
    CHECK(program.argv == std::vector<std::string>{"sh", "-c", "the command"});
    SpawnOptions options;
    options.argv = {++runs < 3 ? "false" : "true"};
    return Child(options);
  };
  wait_until_ready(when(Readiness::Kind::command, "the command"), target, cancel);
  CHECK(runs == 3);

  target.start = [](const ProgramSpec&) -> Child { throw Error("sh: none", {}, Exit::no_program); };
  has(failure_of(when(Readiness::Kind::command, "x"), target, cancel), "there is no sh inside");
  target.start = [](const ProgramSpec&) {
    SpawnOptions options;
    options.argv = {"sleep", "1000"};
    return Child(options);
  };
  has(failure_of(when(Readiness::Kind::command, "x", milliseconds(50)), target, cancel), "has not ended");
}

TEST_CASE("a log line is waited for") {
  const CancelToken cancel;
  int looks = 0;
  ReadyTarget target;
  target.logged = [&](const std::regex& pattern) {
    return std::regex_search(++looks < 4 ? "loading" : "listening on 80", pattern);
  };
  wait_until_ready(when(Readiness::Kind::log, "listening on [0-9]+"), target, cancel);
  CHECK(looks == 4);
}

TEST_CASE("the wait ends when its target ends or it is cancelled") {
  CancelToken cancel;
  ReadyTarget target;
  target.logged = [](const std::regex&) { return false; };
  target.check_alive = [] { throw Error("the program ended"); };
  has(failure_of(when(Readiness::Kind::log, "x"), target, cancel), "the program ended");
  target.check_alive = [] {};
  cancel.cancel(SIGTERM);
  has(failure_of(when(Readiness::Kind::log, "x"), target, cancel), "terminated");
}

TEST_CASE("what cannot be waited for is a usage error") {
  CHECK_THROWS_AS(when(Readiness::Kind::log, "(").check(), Error);
  CHECK_THROWS_AS(when(Readiness::Kind::url, "ftp://x").check(), Error);
  CHECK_NOTHROW(when(Readiness::Kind::url, "https://x/").check());
}
