// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/criu_log.h"

#include <algorithm>
#include <array>
#include <regex>
#include <vector>

#include <fmt/format.h>

namespace coldstart {

namespace {

/// A cause that is known: what its line has, what to say ($1 as in the pattern; empty: CRIU's own words), and
/// what to do.
struct Cause {
  const char* pattern;
  const char* says;
  const char* hint;
  Exit exit = Exit::failed;
};

// Looked for in the whole log, those first that explain the others.
constexpr auto causes = std::to_array<Cause>({
    {R"(File (\S+) has bad (?:size|mode|build-ID|checksum).*)",
     "/$1 is not the file it was when the snapshot was taken",
     "bring that file back; files of an image stay as they are, so prefer a snapshot taken in an image",
     Exit::incompatible},
    {R"(Can't open file (\S+) on restore: No such file.*)", "/$1 is missing where it is restored",
     "bring that file back; files of an image stay as they are, so prefer a snapshot taken in an image",
     Exit::incompatible},
    {R"(Can't get rlimit.*)", "a process of another user cannot be dumped without CAP_SYS_RESOURCE",
     "give coldstart CAP_SYS_RESOURCE, or run the server as root inside", Exit::missing},
    {R"(.*Connected TCP socket.*)", "there are open TCP connections",
     "close them first, or let them come back closed: --tcp-close"},
    {R"(unix: (?:External socket|Can't dump half of|FATAL: Peer|Can't connect).*)",
     "a unix socket is connected to a process outside of the snapshot",
     "end that connection, or start what it is connected to along with the server"},
    {R"(send_fds failed.*)", "there is a descriptor that cannot leave its process, such as one of io_uring",
     "sysctl kernel.io_uring_disabled=2 makes programs do without"},
    {R"(Can't dump file (\d+) of that type \[\w+\] \((?:anon )?(.*)\))",
     "descriptor $1 is a $2, which CRIU cannot dump", "let the server close it before the snapshot"},
    {R"(Can't lookup mount=\d+ for fd=(\d+) path=(.*))",
     "descriptor $1 is $2 of a file system that is not mounted inside",
     "the server must not be given files from outside"},
    {R"(fsnotify: \s*Can't dump that handle.*)", "a file that is watched by inotify cannot be found again",
     "let the server not watch files, or watch only files below /etc"},
    {R"(Can't dump nested (\w+) namespace.*)", "a process has a $1 namespace of its own", ""},
    {R"(Can't restore sub-task in NS.*)", "a process has a network namespace of its own", ""},
    {R"(.*doesn't have a proper root mount.*)", "a process has a mount namespace of its own", ""},
    {R"(.*SysVIPC shmem.*)", "there is System V shared memory, which cannot be told from the host's", ""},
    {R"(Unseizable non-zombie (\d+).*)", "process $1 (as numbered inside) is traced by another",
     "end the debugger or tracer"},
    {R"(Can't fork for (\d+): File exists.*)", "pid $1 is taken", "restore into a pid namespace of its own"},
    {R"(tty: Found slave peer.*)", "there is a terminal", "run the server without a terminal"},
    {R"(Can't dump ghost file (\S+) of (\d+) size.*)", "$1 is deleted but open, and has $2 bytes",
     "let the server close it before the snapshot"},
    {R"(inet: Unsupported proto 262.*)", "there is a multipath TCP socket",
     "for a Go program set GODEBUG=multipathtcp=0"},
});

// Said on every start, or only a consequence of something said before.
constexpr auto no_causes = std::to_array<std::string_view>(
    {"RLIMIT_NOFILE", "Unable to create tun", "Dumping FAILED", "Restoring FAILED"});

/// The texts of the lines that CRIU marks as errors: "… Error (criu/file.c:12): TEXT".
std::vector<std::string> errors_in(std::string_view log) {
  constexpr std::string_view mark = "Error (";
  constexpr std::string_view text = "): ";
  std::vector<std::string> result;
  while (!log.empty()) {
    const std::string_view line = log.substr(0, log.find('\n'));
    log.remove_prefix(std::min(line.size() + 1, log.size()));
    const size_t marked = line.find(mark);
    const size_t start = marked == std::string_view::npos ? marked : line.find(text, marked);
    if (start != std::string_view::npos) result.emplace_back(line.substr(start + text.size()));
  }
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
        return Error(fmt::format("{}: {}", doing, *cause.says != '\0' ? match.format(cause.says) : error),
                     cause.hint, cause.exit);
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
