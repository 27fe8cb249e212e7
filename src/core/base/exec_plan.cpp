// SPDX-License-Identifier: Apache-2.0
#include "core/base/exec_plan.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <string_view>

#include <fcntl.h>
#include <grp.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace coldstart {

namespace {

std::vector<char*> pointers(const std::vector<std::string>& words) {
  std::vector<char*> result;
  result.reserve(words.size() + 1);
  for (const std::string& w : words) result.push_back(const_cast<char*>(w.c_str()));
  result.push_back(nullptr);
  return result;
}

std::string path_of(const std::optional<std::vector<std::string>>& environment) {
  constexpr std::string_view fallback = "/usr/local/bin:/usr/bin:/bin";
  if (!environment) {
    const char* path = std::getenv("PATH");
    return std::string(path != nullptr ? path : fallback);
  }
  for (const std::string& variable : *environment)
    if (variable.starts_with("PATH=")) return variable.substr(5);
  return std::string(fallback);
}

/// The files that `program` may mean, as execvp(3) would try them.
std::vector<std::string> candidates(const std::string& program, const std::string& path) {
  if (program.find('/') != std::string::npos) return {program};
  std::vector<std::string> result;
  if (program.empty()) return result;
  for (size_t at = 0; at <= path.size();) {
    const size_t end = std::min(path.find(':', at), path.size());
    std::string file = end == at ? "." : path.substr(at, end - at);
    file += '/';
    file += program;
    result.push_back(std::move(file));
    at = end + 1;
  }
  return result;
}

void default_signals() noexcept {
  for (int signal = 1; signal < NSIG; ++signal) ::signal(signal, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

}  // namespace

ExecPlan::ExecPlan(std::vector<std::string> argv, std::optional<std::vector<std::string>> environment,
                   std::vector<std::pair<int, int>> fds, std::string folder, bool new_session)
    : argv_(std::move(argv)),
      environment_(std::move(environment)),
      fds_(std::move(fds)),
      folder_(std::move(folder)),
      new_session_(new_session),
      candidates_(candidates(argv_.at(0), path_of(environment_))),
      argv_pointers_(pointers(argv_)),
      moved_(fds_.size()) {
  if (environment_) environment_pointers_ = pointers(*environment_);
  for (const auto& [ours, theirs] : fds_) first_free_ = std::max(first_free_, theirs + 1);
}

/// First all are moved out of the way, so that no target overwrites a source that is still needed.
int ExecPlan::place_fds() noexcept {
  // Numbers from 3 up that are not asked for must not survive exec.
  if (::syscall(SYS_close_range, 3, ~0U, 4U /* CLOSE_RANGE_CLOEXEC */) != 0) return errno;
  for (size_t i = 0; i < fds_.size(); ++i) {
    const int ours = fds_[i].first;
    const int from = ours >= 0 ? ours : ::open("/dev/null", O_RDWR | O_CLOEXEC);
    if (from < 0) return errno;
    moved_[i] = ::fcntl(from, F_DUPFD_CLOEXEC, first_free_);
    if (moved_[i] < 0) return errno;
  }
  for (size_t i = 0; i < fds_.size(); ++i)
    if (::dup2(moved_[i], fds_[i].second) < 0) return errno;
  return 0;
}

int ExecPlan::become_user() noexcept {
  for (int fd = 0; fd <= 2; ++fd) {
    struct stat st {};
    if (::fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode) && ::fchown(fd, who_->uid, who_->gid) != 0)
      return errno;
  }
  if (::setgroups(who_->groups.size(), who_->groups.data()) != 0) return errno;
  if (::setresgid(who_->gid, who_->gid, who_->gid) != 0) return errno;
  return ::setresuid(who_->uid, who_->uid, who_->uid) != 0 ? errno : 0;
}

int ExecPlan::exec() noexcept {
  char** environment = environment_ ? environment_pointers_.data() : environ;
  int result = ENOENT;
  for (const std::string& path : candidates_) {
    ::execve(path.c_str(), argv_pointers_.data(), environment);
    // A file that is there but cannot be executed is what to tell of, if no other will do.
    if (errno == EACCES || (errno == ENOENT && ::access(path.c_str(), F_OK) == 0))
      result = errno == ENOENT ? ENOEXEC : errno;
    else if (errno != ENOENT && errno != ENOTDIR)
      return errno;
  }
  return result;
}

ExecPlan::Failure ExecPlan::run() noexcept {
  if (new_session_ && ::setsid() < 0) return {Step::session, errno};
  if (const int error = place_fds()) return {Step::descriptors, error};
  if (who_)
    if (const int error = become_user()) return {Step::user, error};
  if (!folder_.empty() && ::chdir(folder_.c_str()) != 0) return {Step::folder, errno};
  default_signals();
  return {Step::exec, exec()};
}

}  // namespace coldstart
