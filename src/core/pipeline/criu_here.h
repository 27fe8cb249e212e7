// SPDX-License-Identifier: Apache-2.0
#pragma once
// The CRIU of this host, ready to be started.

#include <filesystem>

#include "core/checkpoint/criu.h"

namespace coldstart {

struct CriuHere {
  CriuProgram program;
  Bytes kernel_facts;  ///< kept in STORE/cache, so found out once a boot

  /// Throws Error::missing if there is none that will do. Ask before anything is started.
  static CriuHere find(const std::filesystem::path& store_root);
};

}  // namespace coldstart
