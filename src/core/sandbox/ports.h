// SPDX-License-Identifier: Apache-2.0
#pragma once
// Network namespaces seen from outside: sockets in them, and published ports (-p HOST:PORT).

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/fd.h"
#include "core/base/json.h"

namespace coldstart {

/// A TCP port of the host that leads to one inside.
struct PortMapping {
  std::string address;  ///< of the host, numeric; empty: all
  uint16_t host = 0;    ///< 0: any free one
  uint16_t inside = 0;
  /// "[ADDRESS:]HOST:PORT"; throws Error::usage.
  static PortMapping parse(std::string_view text);
  std::string text() const;  ///< the same form again
  bool operator==(const PortMapping&) const = default;
};

/// A socket (close-on-exec) that belongs to the network namespace `netns` (a descriptor of /proc/PID/ns/net),
/// whichever thread uses it later. `netns` -1: ours.
Fd socket_in(int netns, int family, int type);

/// Listens on published ports and carries each connection to 127.0.0.1:PORT inside, by one thread.
class PortProxy {
 public:
  /// Takes the host's ports at once, before anything is started: throws Error if one is taken.
  explicit PortProxy(std::vector<PortMapping> ports);
  PortProxy(const PortProxy&) = delete;
  ~PortProxy();
  /// From now on connections are accepted. Once.
  void start(Fd netns);
  /// With the host's ports filled in.
  const std::vector<PortMapping>& ports() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace coldstart
