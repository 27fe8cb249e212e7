// SPDX-License-Identifier: Apache-2.0
#pragma once
// HTTP over unix sockets and TCP, and the event loop of the thread that serves it. libevent does both;
// nothing of it shows here.

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <sys/types.h>

#include "core/base/fd.h"
#include "core/pool/api.h"

namespace coldstart {

/// The answer to one request, now or later. Used by the loop's thread.
class HttpAnswer {
 public:
  virtual ~HttpAnswer() = default;
  /// Nothing happens if the client is gone, or was answered already. `stays`: the connection may stay silent
  /// as long as it likes from now on.
  virtual void reply(const HttpReply& reply, bool stays) = 0;
  virtual bool replied() const = 0;
  /// Called when the client closes its connection, even after the reply. One at a time; empty: none.
  virtual void when_gone(std::function<void()> call) = 0;
};

struct HttpCall {
  std::string method, path, body;
  pid_t peer_pid = 0;  ///< over a unix socket: who connected
  std::function<std::shared_ptr<HttpAnswer>()> later;
};

/// One thread: which calls loop().
class HttpServer {
 public:
  /// Takes over `sockets` (listening, not blocking). Over unix sockets only root, our own user and `users`
  /// are answered; others get 403.
  HttpServer(std::vector<Fd>& sockets, std::vector<uid_t> users,
             std::function<void(const HttpCall&)> handler);
  ~HttpServer();

  void every(std::chrono::milliseconds time, std::function<void()> call);
  /// A second call for the same descriptor replaces the first.
  void when_readable(int fd, std::function<void()> call);
  void ignore(int fd);
  /// Serves until leave().
  void loop();
  void leave();
  /// No new connections any more.
  void stop_listening();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace coldstart
