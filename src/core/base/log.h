// SPDX-License-Identifier: Apache-2.0
#pragma once
// What core has to say beside results and errors. Where it goes and from which level on is decided by
// src/cli (spdlog's default logger); core only says it. spdlog itself stays out of this header: it would take
// longer to compile than most files that log.

#include <fmt/format.h>

namespace coldstart::log {

enum class Level { debug, info, warn };

/// One line. Thread-safe.
void write(Level level, fmt::string_view format, fmt::format_args words);

template <class... Args>
void debug(fmt::format_string<Args...> format, Args&&... words) {
  write(Level::debug, format, fmt::make_format_args(words...));
}

template <class... Args>
void info(fmt::format_string<Args...> format, Args&&... words) {
  write(Level::info, format, fmt::make_format_args(words...));
}

template <class... Args>
void warn(fmt::format_string<Args...> format, Args&&... words) {
  write(Level::warn, format, fmt::make_format_args(words...));
}

}  // namespace coldstart::log
