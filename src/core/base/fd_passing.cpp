// SPDX-License-Identifier: Apache-2.0
#include "core/base/fd_passing.h"

#include <array>
#include <cerrno>
#include <cstring>

#include <sys/socket.h>

#include "core/base/error.h"

namespace coldstart {

namespace {

struct Control {
  alignas(cmsghdr) std::array<char, CMSG_SPACE(most_received_fds * sizeof(int))> bytes{};
};

}  // namespace

void send_fds(int socket, ByteSpan bytes, std::span<const int> fds) {
  if (fds.size() > most_received_fds) throw Error("too many descriptors for a message");
  Control control;
  iovec io{const_cast<std::byte*>(bytes.data()), bytes.size()};
  msghdr message{};
  message.msg_iov = &io;
  message.msg_iovlen = 1;
  if (!fds.empty()) {
    message.msg_control = control.bytes.data();
    message.msg_controllen = CMSG_SPACE(fds.size_bytes());
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(fds.size_bytes());
    std::memcpy(CMSG_DATA(header), fds.data(), fds.size_bytes());
  }
  ssize_t n = 0;
  do n = ::sendmsg(socket, &message, MSG_NOSIGNAL);
  while (n < 0 && errno == EINTR);
  if (n < 0) throw Error::sys("cannot send over a socket");
}

Received receive_fds(int socket, MutableByteSpan into) {
  Control control;
  iovec io{into.data(), into.size()};
  msghdr message{};
  message.msg_iov = &io;
  message.msg_iovlen = 1;
  message.msg_control = control.bytes.data();
  message.msg_controllen = control.bytes.size();
  ssize_t n = 0;
  do n = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  while (n < 0 && errno == EINTR);
  if (n < 0) throw Error::sys("cannot receive from a socket");
  Received got;
  got.size = static_cast<size_t>(n);
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(header) + i * sizeof fd, sizeof fd);
      got.fds.emplace_back(fd);
    }
  }
  return got;
}

}  // namespace coldstart
