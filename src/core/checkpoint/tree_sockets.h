// SPDX-License-Identifier: Apache-2.0
#pragma once
// To what the sockets of a network namespace are connected, by their inode numbers.

#include <cstdint>
#include <map>
#include <string>

#include <sys/types.h>

namespace coldstart {

/// A TCP socket that is neither closed nor listening.
struct TcpConnection {
  std::string local;  ///< address and port, as /proc/net/tcp writes them
  std::string remote;
};
/// Of the network namespace of a process, IPv4 and IPv6.
std::map<uint64_t, TcpConnection> tcp_connections(pid_t pid);

/// A unix socket that has a peer.
struct UnixConnection {
  uint64_t peer = 0;      ///< inode of the other end
  bool datagram = false;  ///< connected by address only: it can do without its peer
};
/// Of the network namespace of a process; asks the kernel by a socket in it. Throws if that fails.
std::map<uint64_t, UnixConnection> unix_connections(pid_t pid);

}  // namespace coldstart
