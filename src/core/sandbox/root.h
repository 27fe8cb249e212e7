// SPDX-License-Identifier: Apache-2.0
#pragma once
// The root file system of a sandbox, made from the inside by its first process.

#include "core/sandbox/sandbox.h"

namespace coldstart {

/// In a fresh mount (and pid, and network) namespace: makes the root that `options` ask for and changes to
/// it. The calling process sees the sandbox as programs inside will.
///
/// Whatever comes from the host (bind sources) is opened first as a detached mount and put in place after
/// pivot_root. So no path inside, whose symlinks the image chose, is ever resolved in the host's root.
void enter_root(const SandboxOptions& options);

}  // namespace coldstart
