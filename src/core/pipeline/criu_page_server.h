// SPDX-License-Identifier: Apache-2.0
#pragma once
// CRIU's own server of lazy pages, for benches: what ours is compared with.

#include <filesystem>

#include "core/base/subprocess.h"
#include "core/checkpoint/criu_program.h"

namespace coldstart {

/// A process that serves the restore of `images`, which hold all memory, on a socket in `work`. It dies with
/// this object.
class CriuPageServer {
 public:
  /// Returns once it listens. Throws Error.
  CriuPageServer(const CriuProgram& criu, const std::filesystem::path& images,
                 const std::filesystem::path& work);

 private:
  Child server_;
};

}  // namespace coldstart
