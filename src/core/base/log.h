// SPDX-License-Identifier: Apache-2.0
#pragma once
// What core has to say beside results and errors. Where it goes and from which level on is decided by
// src/cli (spdlog's default logger); core only says it.

#include <spdlog/spdlog.h>

namespace coldstart::log {

using spdlog::debug;
using spdlog::info;
using spdlog::warn;

}  // namespace coldstart::log
