// SPDX-License-Identifier: Apache-2.0
#include "core/sandbox/ports.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <list>
#include <thread>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/error.h"
#include "core/base/log.h"

namespace coldstart {

// --- PortMapping
// -------------------------------------------------------------------------------------------------

namespace {

uint16_t parse_port(std::string_view text, std::string_view whole, unsigned lowest) {
  unsigned value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < lowest || value > 65535)
    throw Error::usage("not a port: '" + std::string(text) + "' in '" + std::string(whole) + "'",
                       "it is [ADDRESS:]HOST_PORT:PORT, such as 8080:80");
  return static_cast<uint16_t>(value);
}

}  // namespace

PortMapping PortMapping::parse(std::string_view text) {
  const size_t last = text.rfind(':');
  if (last == std::string_view::npos)
    throw Error::usage("not a port mapping: '" + std::string(text) + "'",
                       "it is [ADDRESS:]HOST_PORT:PORT, such as 8080:80");
  PortMapping mapping;
  mapping.inside = parse_port(text.substr(last + 1), text, 1);
  std::string_view host = text.substr(0, last);
  if (const size_t colon = host.rfind(':'); colon != std::string_view::npos) {
    std::string_view address = host.substr(0, colon);
    if (address.starts_with('[') && address.ends_with(']')) address = address.substr(1, address.size() - 2);
    mapping.address = address;
    std::array<unsigned char, sizeof(in6_addr)> ignored{};
    if (::inet_pton(AF_INET, mapping.address.c_str(), ignored.data()) != 1 &&
        ::inet_pton(AF_INET6, mapping.address.c_str(), ignored.data()) != 1)
      throw Error::usage("not an IP address: '" + mapping.address + "' in '" + std::string(text) + "'");
    host = host.substr(colon + 1);
  }
  mapping.host = parse_port(host, text, 0);
  return mapping;
}

std::string PortMapping::text() const {
  std::string ports = std::to_string(host) + ':' + std::to_string(inside);
  if (address.empty()) return ports;
  return (address.find(':') == std::string::npos ? address : '[' + address + ']') + ':' + ports;
}

Fd socket_in(int netns, int family, int type) {
  const auto make = [&] {
    return Fd(check(::socket(family, type | SOCK_CLOEXEC, 0), "cannot make a socket"));
  };
  if (netns < 0) return make();
  // A socket belongs to the namespace that its maker is in at that moment, so a visit is enough. It is this
  // thread's alone.
  const Fd home = open_file("/proc/thread-self/ns/net", O_RDONLY);
  check(::setns(netns, CLONE_NEWNET), "cannot enter the network namespace");
  Fd socket(::socket(family, type | SOCK_CLOEXEC, 0));
  const int error = errno;
  check(::setns(home.get(), CLONE_NEWNET), "cannot come back from the network namespace");
  if (!socket) throw Error::sys(error, "cannot make a socket");
  return socket;
}

// --- PortProxy
// ---------------------------------------------------------------------------------------------------

namespace {

/// One direction of a connection: what was read and is not yet written.
struct Flow {
  std::array<std::byte, size_t{32} << 10> bytes;
  size_t begin = 0, end = 0;
  bool source_ended = false;  // nothing more comes
  bool done = false;          // and the target has been told so

  bool empty() const { return begin == end; }
  bool wants_read() const { return !source_ended && empty(); }
};

bool would_block() {
  return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
}

struct Connection {
  Fd outside, inside;
  bool connecting = true;  // to the inside
  Flow in, out;            // towards the inside, towards the outside
  bool broken = false;

  void read(Flow& flow, const Fd& from) {
    const ssize_t n = ::read(from.get(), flow.bytes.data(), flow.bytes.size());
    if (n < 0 && would_block()) return;
    if (n < 0) broken = true;
    if (n == 0) flow.source_ended = true;
    flow.begin = 0;
    flow.end = n > 0 ? static_cast<size_t>(n) : 0;
  }

  void write(Flow& flow, const Fd& to) {
    while (!flow.empty()) {
      const ssize_t n = ::send(to.get(), flow.bytes.data() + flow.begin, flow.end - flow.begin, MSG_NOSIGNAL);
      if (n < 0 && would_block()) return;
      if (n < 0) {
        broken = true;
        return;
      }
      flow.begin += static_cast<size_t>(n);
    }
    if (!flow.source_ended || flow.done) return;
    flow.done = true;
    if (::shutdown(to.get(), SHUT_WR) != 0) broken = true;
  }

  void finish_connect() {
    int error = 0;
    socklen_t size = sizeof error;
    if (::getsockopt(inside.get(), SOL_SOCKET, SO_ERROR, &error, &size) != 0 || error != 0) broken = true;
    connecting = false;
  }

  short events_outside() const {
    return static_cast<short>((in.wants_read() ? POLLIN : 0) | (out.empty() ? 0 : POLLOUT));
  }
  short events_inside() const {
    if (connecting) return POLLOUT;
    return static_cast<short>((out.wants_read() ? POLLIN : 0) | (in.empty() ? 0 : POLLOUT));
  }

  void step(short outside_events, short inside_events) {
    constexpr short failed = POLLERR | POLLNVAL;
    if (connecting && inside_events != 0) finish_connect();
    if (broken || (!connecting && ((outside_events | inside_events) & failed) != 0)) {
      broken = true;
      return;
    }
    if (in.wants_read() && (outside_events & (POLLIN | POLLHUP)) != 0) read(in, outside);
    if (connecting) return;
    if (out.wants_read() && (inside_events & (POLLIN | POLLHUP)) != 0) read(out, inside);
    if (!broken) write(in, inside);
    if (!broken) write(out, outside);
  }
  bool over() const { return broken || (in.done && out.done); }
};

Fd listen_on(PortMapping& mapping) {
  addrinfo hints{};
  hints.ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_family = mapping.address.empty() ? AF_INET : AF_UNSPEC;
  addrinfo* found = nullptr;
  const char* address = mapping.address.empty() ? nullptr : mapping.address.c_str();
  if (const int e = ::getaddrinfo(address, std::to_string(mapping.host).c_str(), &hints, &found); e != 0)
    throw Error("cannot publish " + mapping.text() + ": " + ::gai_strerror(e));
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(found, ::freeaddrinfo);
  Fd socket(check(::socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0),
                  "cannot make a socket"));
  const int on = 1;
  check(::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), "cannot set a socket up");
  if (::bind(socket.get(), found->ai_addr, found->ai_addrlen) != 0 || ::listen(socket.get(), 128) != 0)
    throw Error::sys("cannot publish port " + std::to_string(mapping.host), "choose another with -p");
  if (mapping.host == 0) {
    sockaddr_storage bound{};
    socklen_t size = sizeof bound;
    check(::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&bound), &size), "cannot read a port");
    mapping.host = ntohs(bound.ss_family == AF_INET ? reinterpret_cast<sockaddr_in&>(bound).sin_port
                                                    : reinterpret_cast<sockaddr_in6&>(bound).sin6_port);
  }
  return socket;
}

/// Connections that may be open at once: each takes two of our descriptors.
size_t most_connections() {
  rlimit limit{};
  check(::getrlimit(RLIMIT_NOFILE, &limit), "cannot read the limit of descriptors");
  return std::clamp<size_t>(limit.rlim_cur, 200, 20000) / 2 - 50;
}

}  // namespace

struct PortProxy::Impl {
  std::vector<PortMapping> ports;
  std::vector<Fd> listeners;
  Fd stop{check(::eventfd(0, EFD_CLOEXEC), "cannot make an eventfd")};
  Fd netns;
  size_t most = most_connections();
  std::list<Connection> connections;  // the thread's alone
  std::thread thread;

  void run();
  void accept(size_t which);
};

PortProxy::PortProxy(std::vector<PortMapping> ports) : impl_(std::make_unique<Impl>()) {
  impl_->ports = std::move(ports);
  for (PortMapping& mapping : impl_->ports) impl_->listeners.push_back(listen_on(mapping));
}

PortProxy::~PortProxy() {
  if (!impl_->thread.joinable()) return;
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t n = ::write(impl_->stop.get(), &one, sizeof one);  // cannot fail: it is 0
  impl_->thread.join();
}

void PortProxy::start(Fd netns) {
  if (impl_->listeners.empty()) return;
  impl_->netns = std::move(netns);
  impl_->thread = std::thread([this] {
    try {
      impl_->run();
    } catch (const Error& e) {
      log::warn("published ports no longer work: {}", e.message());
    }
  });
}

const std::vector<PortMapping>& PortProxy::ports() const {
  return impl_->ports;
}

void PortProxy::Impl::accept(size_t which) {
  Connection c;
  c.outside = Fd(::accept4(listeners[which].get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!c.outside) {
    // Out of descriptors: wait until a connection ends. Anything else is the peer's affair.
    if (errno == EMFILE || errno == ENFILE) most = std::max<size_t>(1, connections.size());
    return;
  }
  c.inside = socket_in(netns.get(), AF_INET, SOCK_STREAM | SOCK_NONBLOCK);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  to.sin_port = htons(ports[which].inside);
  if (::connect(c.inside.get(), reinterpret_cast<sockaddr*>(&to), sizeof to) != 0 && errno != EINPROGRESS)
    return;  // nobody listens inside: the client sees the connection closed
  connections.push_back(std::move(c));
}

void PortProxy::Impl::run() {
  std::vector<pollfd> polls;
  for (;;) {
    polls.assign(1, {stop.get(), POLLIN, 0});
    const bool room = connections.size() < most;
    for (const Fd& l : listeners) polls.push_back({room ? l.get() : -1, POLLIN, 0});
    for (const Connection& c : connections) {
      // Who waits for nothing is not asked: a hang-up, which cannot be masked, would make us spin.
      for (const auto& [fd, events] :
           {std::pair(c.outside.get(), c.events_outside()), std::pair(c.inside.get(), c.events_inside())})
        polls.push_back({events != 0 ? fd : -1, events, 0});
    }
    if (::poll(polls.data(), polls.size(), -1) < 0) {
      if (errno == EINTR) continue;
      throw Error::sys("cannot poll");
    }
    if (polls[0].revents != 0) return;
    size_t at = 1 + listeners.size();
    for (auto c = connections.begin(); c != connections.end(); at += 2) {
      c->step(polls[at].revents, polls[at + 1].revents);
      c = c->over() ? connections.erase(c) : std::next(c);
    }
    for (size_t i = 0; i < listeners.size(); ++i)
      if (polls[1 + i].revents != 0) accept(i);
  }
}

}  // namespace coldstart
