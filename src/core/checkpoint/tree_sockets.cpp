// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/tree_sockets.h"

#include <array>
#include <cerrno>
#include <exception>
#include <fstream>
#include <sstream>
#include <thread>

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <sched.h>
#include <sys/socket.h>

#include "core/base/bytes.h"
#include "core/base/error.h"
#include "core/base/fd.h"

namespace coldstart {

namespace {

constexpr const char* tcp_closed = "07";
constexpr const char* tcp_listening = "0A";

/// Hands on each unix socket of an answer. Gives false at the end of the last answer.
template <class Found>
bool read_answers(ByteSpan bytes, Found found) {
  while (bytes.size() >= sizeof(nlmsghdr)) {
    const auto head = load<nlmsghdr>(bytes.data());
    if (head.nlmsg_type == NLMSG_DONE) return false;
    if (head.nlmsg_len < sizeof head || head.nlmsg_len > bytes.size()) break;
    if (head.nlmsg_type == NLMSG_ERROR) {
      const auto failure = load<nlmsgerr>(bytes.data() + NLMSG_HDRLEN);
      throw Error::sys(-failure.error, "cannot list unix sockets");
    }
    found(bytes.first(head.nlmsg_len).subspan(NLMSG_HDRLEN));
    bytes = bytes.subspan(std::min<size_t>(NLMSG_ALIGN(head.nlmsg_len), bytes.size()));
  }
  return true;
}

void add_connection(ByteSpan bytes, std::map<uint64_t, UnixConnection>& to) {
  if (bytes.size() < sizeof(unix_diag_msg)) return;
  const auto socket = load<unix_diag_msg>(bytes.data());
  bytes = bytes.subspan(NLMSG_ALIGN(sizeof socket));
  while (bytes.size() >= sizeof(nlattr)) {
    const auto head = load<nlattr>(bytes.data());
    if (head.nla_len < sizeof head || head.nla_len > bytes.size()) return;
    if (head.nla_type == UNIX_DIAG_PEER && head.nla_len >= NLA_HDRLEN + sizeof(uint32_t)) {
      const auto peer = load<uint32_t>(bytes.data() + NLA_HDRLEN);
      if (peer != 0) to[socket.udiag_ino] = {peer, socket.udiag_type == SOCK_DGRAM};
    }
    bytes = bytes.subspan(std::min<size_t>(NLA_ALIGN(head.nla_len), bytes.size()));
  }
}

std::map<uint64_t, UnixConnection> unix_connections_here() {
  const Fd socket(
      check(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG), "cannot ask for unix sockets"));
  struct {
    nlmsghdr head;
    unix_diag_req body;
  } request{};
  request.head.nlmsg_len = sizeof request;
  request.head.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  request.head.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  request.body.sdiag_family = AF_UNIX;
  request.body.udiag_states = ~0U;
  request.body.udiag_show = UDIAG_SHOW_PEER;
  write_full(socket.get(), bytes_of(request));
  std::map<uint64_t, UnixConnection> result;
  std::array<std::byte, 32768> buffer{};
  for (;;) {
    const ssize_t size = ::recv(socket.get(), buffer.data(), buffer.size(), 0);
    if (size < 0 && errno == EINTR) continue;
    check(size, "cannot list unix sockets");
    if (!read_answers(ByteSpan(buffer).first(static_cast<size_t>(size)),
                      [&](ByteSpan one) { add_connection(one, result); }))
      return result;
  }
}

}  // namespace

std::map<uint64_t, TcpConnection> tcp_connections(pid_t pid) {
  std::map<uint64_t, TcpConnection> result;
  for (const char* family : {"tcp", "tcp6"}) {
    std::ifstream in(fmt::format("/proc/{}/net/{}", pid, family));
    std::string line;
    std::getline(in, line);  // the header
    while (std::getline(in, line)) {
      std::istringstream words(line);
      std::string slot, local, remote, state, queues, timer, retransmits, uid, timeout;
      uint64_t inode = 0;
      words >> slot >> local >> remote >> state >> queues >> timer >> retransmits >> uid >> timeout >> inode;
      if (words && inode != 0 && state != tcp_closed && state != tcp_listening)
        result[inode] = {local, remote};
    }
  }
  return result;
}

std::map<uint64_t, UnixConnection> unix_connections(pid_t pid) {
  const Fd net = open_file(fmt::format("/proc/{}/ns/net", pid), O_RDONLY);
  std::map<uint64_t, UnixConnection> result;
  std::exception_ptr failed;
  std::thread([&] {  // of its own, as it does not come back from there
    try {
      check(::setns(net.get(), CLONE_NEWNET), "cannot enter a network namespace");
      result = unix_connections_here();
    } catch (...) {
      failed = std::current_exception();
    }
  })
      .join();
  if (failed) std::rethrow_exception(failed);
  return result;
}

}  // namespace coldstart
