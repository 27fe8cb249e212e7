// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/criu_log.h"

#include <array>
#include <optional>
#include <regex>
#include <vector>

#include <fmt/format.h>

namespace coldstart {

namespace {

/// A cause that is known: what its line looks like, what to say (with $1 as in the line), what to do.
struct Cause {
  const char* pattern;
  const char* says;
  const char* hint;
  Exit exit;
};

// To be found anywhere in the log, the first of this list first.
constexpr std::array causes = {
    Cause{R"(File (.*) has bad (size|mode|build-ID|checksum).*)",
          "the file $1 is not the one that was mapped when the snapshot was taken",
          "bring that file back, or take the snapshot in an image, whose files stay as they are",
          Exit::incompatible},
};

// Said on every start, or only a consequence of something said before.
constexpr std::array<std::string_view, 4> no_causes = {"RLIMIT_NOFILE", "Unable to create tun",
                                                       "Dumping FAILED", "Restoring FAILED"};

/// The texts of the lines that CRIU marks as errors.
std::vector<std::string> errors_in(std::string_view log) {
  static const std::regex line(R"((?:^|\n)[^\n]*?Error \([^)\n]*\): ([^\n]*))");
  std::vector<std::string> result;
  const std::string text(log);
  for (std::sregex_iterator it(text.begin(), text.end(), line), end; it != end; ++it)
    result.push_back((*it)[1]);
  return result;
}

}  // namespace

Error criu_error(std::string_view doing, std::string_view log) {
  const std::vector<std::string> errors = errors_in(log);
  for (const Cause& cause : causes) {
    const std::regex pattern(cause.pattern);
    for (const std::string& error : errors) {
      std::smatch match;
      if (std::regex_match(error, match, pattern))
        return Error(fmt::format("{}: {}", doing, match.format(cause.says)), cause.hint, cause.exit);
    }
  }
  for (const std::string& error : errors) {
    bool cause = true;
    for (const std::string_view part : no_causes) cause = cause && error.find(part) == std::string::npos;
    if (cause) return Error(fmt::format("{}: CRIU says: {}", doing, error));
  }
  // It may have ended before it could log, as when a library is missing.
  const size_t end = log.find_last_not_of('\n');
  if (end == std::string_view::npos) return Error(fmt::format("{}: CRIU gives no reason", doing));
  const size_t newline = log.find_last_of('\n', end);
  const size_t begin = newline == std::string_view::npos ? 0 : newline + 1;
  const std::string_view last = log.substr(begin, end + 1 - begin);
  return Error(fmt::format("{}: CRIU says: {}", doing, last));
}

}  // namespace coldstart
