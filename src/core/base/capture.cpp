// SPDX-License-Identifier: Apache-2.0
#include "core/base/capture.h"

#include <algorithm>
#include <cerrno>

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "core/base/error.h"

namespace coldstart {

using Clock = std::chrono::steady_clock;

Output run_to_end(const std::string& shown, const StartWithFds& start, std::chrono::milliseconds timeout,
                  const CancelToken* cancel, size_t limit) {
  Pipe out = make_pipe();
  Pipe err = make_pipe();
  const Fd null = open_file("/dev/null", O_RDONLY);
  Child child = start({{null.get(), 0}, {out.write.get(), 1}, {err.write.get(), 2}});
  out.write.reset();
  err.write.reset();

  Output result;
  const auto deadline = Clock::now() + timeout;
  const auto left = [&] {
    return std::max<long>(
        0, std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count());
  };
  pollfd polls[3] = {{out.read.get(), POLLIN, 0},
                     {err.read.get(), POLLIN, 0},
                     {cancel == nullptr ? -1 : cancel->fd(), POLLIN, 0}};
  std::string* into[2] = {&result.out, &result.err};
  while (polls[0].fd >= 0 || polls[1].fd >= 0) {
    if (left() == 0) throw Error(shown + " did not end in time");
    const int n = ::poll(polls, 3, static_cast<int>(left()));
    if (n < 0 && errno != EINTR) throw Error::sys("cannot poll " + shown);
    if (cancel != nullptr) cancel->check();
    for (int i = 0; n > 0 && i < 2; ++i) {
      if (polls[i].revents == 0) continue;
      char buffer[16384];
      const ssize_t got = ::read(polls[i].fd, buffer, sizeof buffer);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) throw Error::sys("cannot read what " + shown + " says");
      if (got == 0) polls[i].fd = -1;
      into[i]->append(buffer, std::min(static_cast<size_t>(got), limit - std::min(limit, into[i]->size())));
    }
  }
  const std::optional<ExitState> exit = child.wait_for(std::chrono::milliseconds(left()));
  if (!exit) throw Error(shown + " did not end in time");
  result.exit = *exit;
  return result;
}

}  // namespace coldstart
