// SPDX-License-Identifier: Apache-2.0
#include "core/base/log.h"

#include <spdlog/spdlog.h>

namespace coldstart::log {

namespace {

spdlog::level::level_enum spdlog_level(Level level) {
  switch (level) {
    case Level::debug:
      return spdlog::level::debug;
    case Level::info:
      return spdlog::level::info;
    case Level::warn:
      break;
  }
  return spdlog::level::warn;
}

}  // namespace

void write(Level level, fmt::string_view format, fmt::format_args words) {
  const spdlog::level::level_enum at = spdlog_level(level);
  if (spdlog::should_log(at)) spdlog::log(at, fmt::vformat(format, words));
}

}  // namespace coldstart::log
