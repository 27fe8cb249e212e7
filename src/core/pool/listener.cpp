// SPDX-License-Identifier: Apache-2.0
#include "core/pool/listener.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>

#include <fcntl.h>
#include <fmt/format.h>
#include <netdb.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/base/error.h"
#include "core/base/log.h"

namespace coldstart {

namespace {

constexpr int waiting_connections = 4096;
constexpr int first_inherited = 3;  // by systemd's protocol
constexpr int most_inherited = 16;

Fd make_socket(int family) {
  return Fd(check(::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), "cannot make a socket"));
}

sockaddr_un unix_address(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    throw Error::usage(
        fmt::format("the path of a socket may have {} bytes: {}", sizeof address.sun_path - 1, path),
        "give a shorter one: --listen unix:PATH");
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

Fd listen_unix(const std::string& path, bool everyone) {
  const sockaddr_un address = unix_address(path);
  Fd fd = make_socket(AF_UNIX);
  // Left by a service that was killed; that none runs the pool's lock says.
  struct stat st {};
  if (::lstat(path.c_str(), &st) == 0 && S_ISSOCK(st.st_mode)) ::unlink(path.c_str());
  const mode_t before = ::umask(everyone ? 0111 : 0177);
  const int bound = ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  ::umask(before);
  check(bound, "cannot listen on unix:" + path);
  check(::listen(fd.get(), waiting_connections), "cannot listen on unix:" + path);
  return fd;
}

Fd listen_tcp(const ListenAddress& at) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  const int failed =
      ::getaddrinfo(at.host.empty() ? nullptr : at.host.c_str(), at.port.c_str(), &hints, &found);
  if (failed != 0)
    throw Error::usage(fmt::format("cannot listen on {}: {}", at.text(), ::gai_strerror(failed)));
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(found, ::freeaddrinfo);
  Fd fd = make_socket(found->ai_family);
  const int on = 1;
  check(::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), "cannot set a socket up");
  check(::bind(fd.get(), found->ai_addr, found->ai_addrlen), "cannot listen on " + at.text());
  check(::listen(fd.get(), waiting_connections), "cannot listen on " + at.text());
  return fd;
}

}  // namespace

ListenAddress ListenAddress::parse(std::string_view text) {
  ListenAddress address;
  if (text.starts_with("unix:")) {
    if (text.size() > 5) {
      address.path = std::filesystem::absolute(text.substr(5));
      return address;
    }
  } else if (const size_t colon = text.rfind(':');
             colon != std::string_view::npos && colon + 1 < text.size()) {
    address.host = text.substr(0, colon);
    address.port = text.substr(colon + 1);
    if (address.host.starts_with('[') && address.host.ends_with(']'))
      address.host = address.host.substr(1, address.host.size() - 2);
    if (address.port.find_first_not_of("0123456789") == std::string::npos) return address;
  }
  throw Error::usage(fmt::format("not an address: '{}'", text), "unix:PATH or HOST:PORT");
}

std::string ListenAddress::text() const {
  if (!path.empty()) return "unix:" + path;
  return host.find(':') == std::string::npos ? host + ":" + port : fmt::format("[{}]:{}", host, port);
}

Fd listen_on(const ListenAddress& address, bool everyone) {
  return address.path.empty() ? listen_tcp(address) : listen_unix(address.path, everyone);
}

std::vector<Fd> inherited_sockets() {
  std::vector<Fd> sockets;
  const char* pid = std::getenv("LISTEN_PID");
  const char* count = std::getenv("LISTEN_FDS");
  if (pid != nullptr && count != nullptr && std::atoi(pid) == ::getpid())
    for (int i = 0; i < std::min(std::atoi(count), most_inherited); ++i) {
      const int number = first_inherited + i;
      int listens = 0;
      socklen_t size = sizeof listens;
      // What is not one may be a descriptor of our own: not ours to close.
      if (::getsockopt(number, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) != 0 || listens == 0)
        throw Error::usage(fmt::format("LISTEN_FDS: descriptor {} is no socket that listens", number));
      Fd fd(number);
      check(::fcntl(fd.get(), F_SETFD, FD_CLOEXEC), "cannot take over a socket");
      check(::fcntl(fd.get(), F_SETFL, O_NONBLOCK), "cannot take over a socket");
      sockets.push_back(std::move(fd));
    }
  for (const char* name : {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"}) ::unsetenv(name);
  return sockets;
}

void notify_systemd(std::string_view state) noexcept {
  const char* where = std::getenv("NOTIFY_SOCKET");
  if (where == nullptr || (*where != '/' && *where != '@')) return;
  try {
    sockaddr_un address = unix_address(where);
    if (*where == '@') address.sun_path[0] = '\0';  // an abstract name
    const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + std::strlen(where));
    const Fd fd(check(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), "cannot make a socket"));
    if (::sendto(fd.get(), state.data(), state.size(), MSG_NOSIGNAL,
                 reinterpret_cast<const sockaddr*>(&address), length) < 0)
      throw Error::sys("cannot notify systemd");
  } catch (const std::exception& e) {
    log::warn("{}", e.what());
  }
}

}  // namespace coldstart
