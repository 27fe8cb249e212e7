// SPDX-License-Identifier: Apache-2.0
#include "core/base/many_descriptors.h"

#include <algorithm>

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

namespace coldstart {

void expect_many_descriptors() noexcept {
  constexpr rlim_t many = 8192;  // 64 KiB of kernel memory
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  if (::setrlimit(RLIMIT_NOFILE, &limit) != 0 && ::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  const int any = ::open("/", O_PATH | O_CLOEXEC);
  if (any < 0) return;
  // The table never shrinks.
  const int high = ::fcntl(any, F_DUPFD_CLOEXEC, static_cast<int>(std::min(many, limit.rlim_cur)) - 1);
  if (high >= 0) ::close(high);
  ::close(any);
}

}  // namespace coldstart
