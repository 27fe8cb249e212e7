// SPDX-License-Identifier: Apache-2.0
#include "core/imagefs/presence.h"

#include <algorithm>
#include <cerrno>
#include <functional>

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>

#include "core/base/error.h"
#include "core/base/log.h"
#include "core/imagefs/imagefs.h"

namespace coldstart {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

namespace {

using Clock = std::chrono::steady_clock;

constexpr auto first_pause = 1ms;
constexpr auto longest_pause = 20ms;
/// Who waits for our absence holds the lock for an instant, and others do, too (systemd-tmpfiles).
constexpr auto others_hold_it = 200ms;

Fd open_folder(const fs::path& folder) {
  return Fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

enum class Try { locked, held, impossible };

Try try_lock(const Fd& fd, int operation) {
  while (::flock(fd.get(), operation | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) return Try::held;
    if (errno != EINTR) return Try::impossible;
  }
  return Try::locked;
}

/// Tries again, at growing intervals, until `limit` is over.
Try lock_within(const Fd& fd, int operation, std::chrono::milliseconds limit, const CancelToken* cancel,
                const std::function<bool()>& give_up) {
  const auto deadline = Clock::now() + limit;
  auto pause = first_pause;
  for (;;) {
    const Try result = try_lock(fd, operation);
    if (result != Try::held || Clock::now() >= deadline || give_up()) return result;
    pollfd p{cancel != nullptr ? cancel->fd() : -1, POLLIN, 0};
    ::poll(&p, 1, static_cast<int>(pause.count()));
    if (cancel != nullptr) cancel->check();
    pause = std::min(2 * pause, longest_pause);
  }
}

}  // namespace

Fd enter_presence(const fs::path& folder) {
  Fd fd = open_folder(folder);
  if (fd && lock_within(fd, LOCK_SH, others_hold_it, nullptr, [] { return false; }) == Try::locked) return fd;
  log::debug("cannot lock {}: who unmounts it will not wait for the image server's end", folder.string());
  return {};
}

bool await_absence(const fs::path& folder, std::chrono::milliseconds limit, const CancelToken* cancel) {
  const Fd fd = open_folder(folder);
  if (!fd) return true;
  // Mounted once more meanwhile, the lock is that of others.
  return lock_within(fd, LOCK_EX, limit, cancel, [&] { return is_image_mount(folder); }) != Try::held ||
         is_image_mount(folder);
}

}  // namespace coldstart
