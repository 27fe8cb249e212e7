// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a program in a sandbox gets as stdin, stdout and stderr: pipes, whose other ends we hold and pump into
// log files of bounded size (and to the caller, in the foreground). A program never holds a log file or a
// terminal itself: CRIU could not restore it.

#include <deque>
#include <filesystem>
#include <mutex>
#include <regex>
#include <string>
#include <thread>
#include <vector>

#include "core/base/fd.h"

namespace coldstart {

/// The ends that the program gets.
struct Stdio {
  Fd in;   ///< read end of a pipe from the caller; none: /dev/null *of the inside* is to be opened
  Fd out;  ///< write ends of pipes
  Fd err;
  /// For ProgramSpec::fds.
  std::vector<std::pair<int, int>> fds() const {
    return {{in ? in.get() : -1, 0}, {out.get(), 1}, {err.get(), 2}};
  }
};

/// A log file that is moved to FILE.1 (over the one before) when it has `limit` bytes. One thread writes.
class LogFile {
 public:
  explicit LogFile(std::filesystem::path path, uint64_t limit = uint64_t{16} << 20);
  void write(ByteSpan bytes);

 private:
  const std::filesystem::path path_;
  const uint64_t limit_;
  Fd fd_;
  uint64_t size_ = 0;
};

/// One pipe pumped by one thread: into a log file, to the caller's descriptor, and into memory as lines.
class OutputPump {
 public:
  /// `caller` -1: nobody. When the caller's end is closed (EPIPE), so is ours, as if the program wrote there.
  OutputPump(const std::filesystem::path& log, int caller);
  OutputPump(const OutputPump&) = delete;
  ~OutputPump();
  /// The end for the program; once.
  Fd take_write_end();
  /// Takes what is still in the pipe, at most some 100 ms long (who inherited it may hold it open), and ends:
  /// when the program has. Done by the destructor else.
  void finish();
  /// Starts pumping.
  void start();
  /// True if a line written so far matches, of those from number `from` on (which is moved past them) and of
  /// the last 1000. Thread-safe.
  bool matches(const std::regex& pattern, uint64_t& from) const;
  /// The last lines written. Thread-safe.
  std::string tail(size_t lines = 5) const;

 private:
  void run();
  bool take(ByteSpan bytes);  // false: the caller takes no more
  void remember(std::string_view text);

  Pipe pipe_;
  Fd stop_;
  LogFile log_;
  const int caller_;
  bool logging_ = true;
  mutable std::mutex mutex_;  // guards lines_, dropped_, partial_
  std::deque<std::string> lines_;
  uint64_t dropped_ = 0;  // lines before lines_
  std::string partial_;
  std::thread thread_;
};

}  // namespace coldstart
