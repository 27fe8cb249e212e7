// SPDX-License-Identifier: Apache-2.0
#pragma once
// For processes that will have many descriptors open.

namespace coldstart {

/// Raises the soft limit of descriptors to the hard one, and has the kernel's table of them made for many
/// now. Call it before there are threads, or processes that share the table: with them, whoever opens the one
/// that makes the table grow waits for a grace period of RCU, and all who open one meanwhile with it (10 to
/// 20 ms each time it doubles, seen on Linux 6.18 in the server of an image). What cannot be had is left as
/// it is.
void expect_many_descriptors() noexcept;

}  // namespace coldstart
