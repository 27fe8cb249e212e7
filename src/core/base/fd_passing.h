// SPDX-License-Identifier: Apache-2.0
#pragma once
// Descriptors that go from process to process over a unix socket (SCM_RIGHTS).

#include <span>
#include <vector>

#include "core/base/bytes.h"
#include "core/base/fd.h"

namespace coldstart {

/// Of one message, with what came beside its bytes.
struct Received {
  size_t size = 0;  ///< bytes; 0: the other side has ended
  std::vector<Fd> fds;
};

/// Sends `bytes`, at least one, in one message with `fds`. Throws Error.
void send_fds(int socket, ByteSpan bytes, std::span<const int> fds);
/// Waits for a message of up to `into.size()` bytes and `most_received_fds` descriptors. Throws Error.
Received receive_fds(int socket, MutableByteSpan into);

inline constexpr size_t most_received_fds = 8;

}  // namespace coldstart
