// SPDX-License-Identifier: Apache-2.0
#include "core/pool/http_server.h"

#include <algorithm>
#include <map>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/error.h"
#include "core/base/log.h"
#include "core/pool/service.h"

namespace coldstart {

namespace {

struct EventDeleter {
  void operator()(event* e) const { event_free(e); }
  void operator()(event_base* b) const { event_base_free(b); }
  void operator()(evhttp* h) const { evhttp_free(h); }
  void operator()(evbuffer* b) const { evbuffer_free(b); }
};
template <class T>
using Owned = std::unique_ptr<T, EventDeleter>;

constexpr int silent_for_days = 7 * 24 * 3600;

template <class T>
T* made(T* pointer) {
  if (pointer == nullptr) throw Error("libevent: out of memory or of descriptors");
  return pointer;
}

const char* method_of(evhttp_request* request) {
  switch (evhttp_request_get_command(request)) {
    case EVHTTP_REQ_GET:
      return "GET";
    case EVHTTP_REQ_POST:
      return "POST";
    default:
      return "OTHER";
  }
}

std::string body_of(evhttp_request* request) {
  evbuffer* buffer = evhttp_request_get_input_buffer(request);
  std::string body(evbuffer_get_length(buffer), '\0');
  evbuffer_copyout(buffer, body.data(), body.size());
  return body;
}

int fd_of(evhttp_connection* connection) {
  return bufferevent_getfd(evhttp_connection_get_bufferevent(connection));
}

/// Who is at the other end of a unix socket.
struct Peer {
  bool is_unix = false;
  ucred who{};
};
Peer peer_of(int fd) {
  Peer peer;
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  peer.is_unix =
      ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length) == 0 && address.ss_family == AF_UNIX;
  length = sizeof peer.who;
  if (peer.is_unix)
    check(::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer.who, &length), "cannot tell who asks");
  return peer;
}

void send(evhttp_request* request, const HttpReply& reply) {
  const Owned<evbuffer> body(made(evbuffer_new()));
  evbuffer_add(body.get(), reply.body.data(), reply.body.size());
  evhttp_add_header(evhttp_request_get_output_headers(request), "Content-Type", reply.type);
  evhttp_send_reply(request, reply.status, nullptr, body.get());
}

/// A connection on which something was asked that is answered later, or that holds a lease.
class Pending final : public HttpAnswer {
 public:
  Pending(event_base* base, evhttp_request* request)
      : request_(request), connection_(evhttp_request_get_connection(request)) {
    // While an answer is waited for libevent reads nothing, so it does not see the end of a connection.
    closed_.reset(made(event_new(
        base, fd_of(connection_), EV_CLOSED,
        [](int, short, void* me) { static_cast<Pending*>(me)->closed(); }, this)));
    event_add(closed_.get(), nullptr);
  }

  void reply(const HttpReply& reply, bool stays) override {
    if (request_ == nullptr) return;
    closed_.reset();  // from now on libevent reads again
    if (stays) evhttp_connection_set_timeout(connection_, silent_for_days);
    send(std::exchange(request_, nullptr), reply);
  }
  bool replied() const override { return request_ == nullptr; }
  void when_gone(std::function<void()> call) override { when_gone_ = std::move(call); }

  /// True if nothing is to be done any more, whatever becomes of the connection.
  bool done() const { return request_ == nullptr && !when_gone_; }
  /// The connection is no more.
  void gone() {
    closed_.reset();
    request_ = nullptr;
    if (const auto call = std::exchange(when_gone_, {})) call();
  }

 private:
  void closed() {
    // The reply reaches nobody, but makes libevent look at the connection, which ends in gone().
    reply({503, "", "text/plain"}, false);
  }

  evhttp_request* request_;  // null once it is answered
  evhttp_connection* const connection_;
  Owned<event> closed_;
  std::function<void()> when_gone_;
};

}  // namespace

struct HttpServer::Impl {
  struct Watch {
    std::function<void()> call;
    Owned<event> watched;
  };

  Impl(std::vector<uid_t> allowed, std::function<void(const HttpCall&)> h)
      : users(std::move(allowed)), handler(std::move(h)) {
    users.push_back(0);
    users.push_back(::geteuid());
  }

  static void take(evhttp_request* request, void* me) { static_cast<Impl*>(me)->handle(request); }
  void handle(evhttp_request* request);
  std::shared_ptr<HttpAnswer> hold(evhttp_request* request);
  void forget(evhttp_connection* connection) {
    const auto node = pending.extract(connection);
    if (node.empty()) return;
    for (const std::shared_ptr<Pending>& answer : node.mapped()) answer->gone();
  }

  std::vector<uid_t> users;
  std::function<void(const HttpCall&)> handler;
  Owned<event_base> base;
  /// Of each connection: the request that waits, and those that left something to be done when it ends.
  std::map<evhttp_connection*, std::vector<std::shared_ptr<Pending>>> pending;
  Owned<evhttp> http;
  std::vector<evhttp_bound_socket*> listening;
  std::map<int, Watch> watches;
  std::vector<std::unique_ptr<Watch>> timers;
};

std::shared_ptr<HttpAnswer> HttpServer::Impl::hold(evhttp_request* request) {
  evhttp_connection* connection = evhttp_request_get_connection(request);
  auto answer = std::make_shared<Pending>(base.get(), request);
  std::vector<std::shared_ptr<Pending>>& all = pending[connection];
  std::erase_if(all, [](const auto& earlier) { return earlier->done(); });
  all.push_back(answer);
  evhttp_connection_set_closecb(
      connection, [](evhttp_connection* c, void* me) { static_cast<Impl*>(me)->forget(c); }, this);
  return answer;
}

void HttpServer::Impl::handle(evhttp_request* request) {
  try {
    evhttp_connection* connection = evhttp_request_get_connection(request);
    const Peer peer = peer_of(fd_of(connection));
    if (peer.is_unix && std::find(users.begin(), users.end(), peer.who.uid) == users.end()) {
      send(request, {403, R"({"error": {"code": 1, "message": "this user may not use the pool"}})"});
      return;
    }
    const char* path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(request));
    HttpCall call{method_of(request), path == nullptr ? "" : path, body_of(request), peer.who.pid, {}};
    std::shared_ptr<HttpAnswer> answer;
    call.later = [this, request, answer]() mutable {
      if (!answer) answer = hold(request);
      return answer;
    };
    handler(call);
  } catch (const std::exception& e) {
    log::warn("a request could not be served: {}", e.what());
    evhttp_send_error(request, 500, nullptr);
  }
}

HttpServer::HttpServer(std::vector<Fd>& sockets, std::vector<uid_t> users,
                       std::function<void(const HttpCall&)> handler)
    : impl_(std::make_unique<Impl>(std::move(users), std::move(handler))) {
  event_set_log_callback([](int, const char* text) { log::debug("libevent: {}", text); });
  impl_->base.reset(made(event_base_new()));
  impl_->http.reset(made(evhttp_new(impl_->base.get())));
  evhttp* http = impl_->http.get();
  evhttp_set_timeout(http, ApiLimits::seconds_for_a_request);
  evhttp_set_max_headers_size(http, ApiLimits::header_bytes);
  evhttp_set_max_body_size(http, ApiLimits::body_bytes);
  evhttp_set_gencb(http, &Impl::take, impl_.get());
  for (Fd& socket : sockets)
    impl_->listening.push_back(made(evhttp_accept_socket_with_handle(http, socket.release())));
}

HttpServer::~HttpServer() {
  impl_->watches.clear();
  impl_->timers.clear();
  for (auto& [connection, answers] : impl_->pending) {
    evhttp_connection_set_closecb(connection, nullptr, nullptr);
    for (const auto& answer : answers) {
      answer->when_gone({});
      answer->gone();
    }
  }
  impl_->pending.clear();
}

void HttpServer::every(std::chrono::milliseconds time, std::function<void()> call) {
  auto timer = std::make_unique<Impl::Watch>();
  timer->call = std::move(call);
  timer->watched.reset(made(event_new(
      impl_->base.get(), -1, EV_PERSIST, [](int, short, void* w) { static_cast<Impl::Watch*>(w)->call(); },
      timer.get())));
  const timeval interval{time.count() / 1000, time.count() % 1000 * 1000};
  event_add(timer->watched.get(), &interval);
  impl_->timers.push_back(std::move(timer));
}

void HttpServer::when_readable(int fd, std::function<void()> call) {
  Impl::Watch& watch = impl_->watches[fd];
  watch.call = std::move(call);
  if (watch.watched) return;
  watch.watched.reset(made(event_new(
      impl_->base.get(), fd, EV_READ | EV_PERSIST,
      [](int, short, void* w) { static_cast<Impl::Watch*>(w)->call(); }, &watch)));
  event_add(watch.watched.get(), nullptr);
}

void HttpServer::ignore(int fd) {
  impl_->watches.erase(fd);
}

void HttpServer::loop() {
  if (event_base_loop(impl_->base.get(), 0) < 0) throw Error("the event loop failed");
}

void HttpServer::leave() {
  event_base_loopexit(impl_->base.get(), nullptr);
}

void HttpServer::stop_listening() {
  for (evhttp_bound_socket* socket : impl_->listening) evhttp_del_accept_socket(impl_->http.get(), socket);
  impl_->listening.clear();
}

}  // namespace coldstart
