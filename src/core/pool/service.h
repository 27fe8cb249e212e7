// SPDX-License-Identifier: Apache-2.0
#pragma once
// The pool as a service: HTTP in front, one thread that decides, others that do what takes time.

#include <functional>
#include <string>
#include <vector>

#include "core/pool/pool.h"

namespace coldstart {

struct PoolServiceOptions {
  PoolOptions pool;
  std::string name;
  std::filesystem::path folder;  ///< of the pool (directory.h)
  std::vector<Fd> sockets;       ///< listening, not blocking; unix sockets or TCP
  std::vector<uid_t> users;      ///< who may ask over a unix socket, beside root and us
  SlotMaker make;
  SlotFinder find;
  std::function<void()> on_ready = [] {};  ///< called once it answers
};

/// Limits of what clients may do; docs/pool-api.yaml tells them.
struct ApiLimits {
  static constexpr int seconds_for_a_request = 10;
  static constexpr size_t header_bytes = 16 << 10;
  static constexpr size_t body_bytes = 64 << 10;
};

/// Serves until `cancel` is cancelled, by a signal or by a client's "stop", or until it is drained. Then
/// slots that nobody claimed end; claimed replicas go on.
void run_pool_service(PoolServiceOptions options, CancelToken& cancel);

}  // namespace coldstart
