// SPDX-License-Identifier: Apache-2.0
#pragma once
// Everything a command may say, and how. The only door to stdout and stderr.

#include <iosfwd>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/error.h"
#include "core/base/json.h"
#include "core/base/progress.h"

namespace coldstart {

/// Results go to `out`, everything else to `err`. Made by main around std::cout and std::cerr, by tests
/// around string streams.
class Console {
 public:
  struct Style {
    bool out_is_terminal = false;
    bool err_is_terminal = false;
    bool colour = false;  ///< on a terminal, unless NO_COLOR is set
  };
  Console(std::ostream& out, std::ostream& err, Style style);

  // Set from the global options.
  bool json = false;
  bool quiet = false;
  bool show_progress = true;

  const Style& style() const { return style_; }

  /// One line of a result for people; nothing with --json.
  void line(std::string_view text);
  /// A table for people: columns aligned, header in bold on a terminal; nothing with --json.
  /// A header that starts with '>' marks a right-aligned column.
  void table(const std::vector<std::string>& header, const std::vector<std::vector<std::string>>& rows);
  /// The JSON result; only with --json.
  void result(const OrderedJson& value);
  /// What is worth knowing beside the result: to stderr, unless --quiet.
  void note(std::string_view text);
  /// "coldstart: error: …" and its hint to stderr; with --json also the error object to stdout.
  void error(const Error& error);
  /// Hands what was said to its reader at once. Throws Error where it cannot be written.
  void flush();
  /// Output passed through as it is (logs, program output); flushed by who writes it, or at the end.
  std::ostream& raw() { return out_; }

  /// A bar on stderr if that is a terminal and neither --quiet nor --no-progress is given; else silent.
  std::unique_ptr<Progress> progress();

 private:
  std::ostream& out_;
  std::ostream& err_;
  Style style_;
};

/// "1.4 GB", "812 B": decimal units, as disks and networks are sold.
std::string human_bytes(uint64_t bytes);
/// "0.37 s", "12 ms", "95 µs".
std::string human_seconds(double seconds);
/// "3 minutes ago".
std::string human_age(int64_t seconds_since_1970);

}  // namespace coldstart
