// SPDX-License-Identifier: Apache-2.0
#pragma once
// Where a service listens, and how it tells systemd that it does.

#include <string>
#include <string_view>
#include <vector>

#include "core/base/fd.h"

namespace coldstart {

/// "unix:PATH" or "HOST:PORT". A plain value.
struct ListenAddress {
  std::string path;  ///< absolute; or
  std::string host, port;
  /// Throws Error::usage.
  static ListenAddress parse(std::string_view text);
  std::string text() const;
};

/// A listening socket, not blocking. A unix socket's file is made anew with mode 0600, or 0666 if `everyone`
/// may connect. Throws Error naming the address (it is taken, the path is too long).
Fd listen_on(const ListenAddress& address, bool everyone);

/// Sockets that systemd listens on for us (LISTEN_FDS); none if it does not. The variables are removed from
/// the environment. Once.
std::vector<Fd> inherited_sockets();

/// Tells systemd ("READY=1"), if it wants to know (NOTIFY_SOCKET).
void notify_systemd(std::string_view state) noexcept;

}  // namespace coldstart
