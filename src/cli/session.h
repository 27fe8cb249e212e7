// SPDX-License-Identifier: Apache-2.0
#pragma once
// What one invocation of the tool is given: console, global options, cancellation, timeline.

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "cli/console.h"
#include "core/base/cancel.h"
#include "core/timeline/operation.h"

namespace CLI {
class App;
}

namespace coldstart {

class Store;

/// Lives as long as the invocation. Commands keep a reference to it.
struct Session {
  Session(Console& c, CancelToken& t) : console(c), cancel(t) {}

  Console& console;
  CancelToken& cancel;
  Timeline timeline;
  std::filesystem::path store_root;     ///< --store, COLDSTART_STORE, or the default
  std::filesystem::path timeline_file;  ///< --timeline, or empty
  bool verbose = false;
  int exit_status = 0;  ///< set by commands that hand on a program's own status

  /// The words after "--": the program that run, snapshot and exec start. Kept apart from the options, so
  /// that it is never read as one of them, nor as the name of an image.
  std::vector<std::string> program;
  /// Says that `command` takes such a program; to others it is a usage error.
  void takes_program(CLI::App* command);
  /// Throws Error::usage for a program where none is taken, and for words of one that are not behind "--".
  void check_program(const CLI::App& app) const;

  /// The store, opened on first use.
  std::shared_ptr<Store> store();
  /// The bundle that core's long operations take. Valid as long as the session.
  Operation& operation();

 private:
  std::vector<std::string> stray_words_;  // that may be a program's, but stand before "--"
  std::shared_ptr<Store> store_;
  std::unique_ptr<Progress> progress_;
  std::unique_ptr<Operation> operation_;
};

/// --store's default: COLDSTART_STORE, else /var/lib/coldstart as root, else $XDG_DATA_HOME/coldstart.
std::filesystem::path default_store_root();

}  // namespace coldstart
