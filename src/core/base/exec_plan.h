// SPDX-License-Identifier: Apache-2.0
#pragma once
// From fork to exec: what a child process does between the two. All that needs memory is made before the
// fork; afterwards only async-signal-safe calls are made.

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <sys/types.h>

namespace coldstart {

/// Whom a process runs as.
struct RunAs {
  uid_t uid = 0;
  gid_t gid = 0;
  std::vector<gid_t> groups;
};

class ExecPlan {
 public:
  enum class Step : int { session, descriptors, user, folder, exec };
  struct Failure {
    Step step;
    int error;  ///< errno
  };

  /// `environment` absent: ours. argv[0] is looked up in its PATH. `fds` are (ours, theirs), ours -1:
  /// /dev/null, opened by the child; all other descriptors from 3 up are closed. `folder` empty: stay.
  ExecPlan(std::vector<std::string> argv, std::optional<std::vector<std::string>> environment,
           std::vector<std::pair<int, int>> fds, std::string folder, bool new_session);

  /// Becomes that user before it enters its folder; pipes that it gets as 0 to 2 become the user's, so that
  /// /dev/stdout can be opened.
  void run_as(RunAs who) { who_ = std::move(who); }

  /// Numbers from this on are not asked for: where a descriptor that must live until exec may be.
  int first_free_fd() const { return first_free_; }
  /// In the child: becomes the program. Returns only on failure.
  Failure run() noexcept;

 private:
  int place_fds() noexcept;
  int become_user() noexcept;
  int exec() noexcept;

  std::vector<std::string> argv_;
  std::optional<std::vector<std::string>> environment_;
  std::vector<std::pair<int, int>> fds_;
  std::string folder_;
  bool new_session_;
  std::optional<RunAs> who_;
  int first_free_ = 3;
  std::vector<std::string> candidates_;  // paths to try, in order
  std::vector<char*> argv_pointers_;
  std::vector<char*> environment_pointers_;
  std::vector<int> moved_;  // room for place_fds
};

}  // namespace coldstart
