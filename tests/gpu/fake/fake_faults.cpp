// SPDX-License-Identifier: Apache-2.0
#include "fake_faults.h"

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fake_gpu.h"

namespace fake {

void append_line(const std::string& name, const std::string& line) {
  const int fd = ::open((folder() + "/" + name).c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (fd < 0) return;
  [[maybe_unused]] const ssize_t n = ::write(fd, line.data(), line.size());
  ::close(fd);
}

namespace {

unsigned count_call(const std::string& name) {
  ::mkdir((folder() + "/count").c_str(), 0777);
  const int fd = ::open((folder() + "/count/" + name).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (fd < 0) return 0;
  ::flock(fd, LOCK_EX);
  char text[16] = {};
  [[maybe_unused]] ssize_t n = ::pread(fd, text, sizeof text - 1, 0);
  const unsigned count = static_cast<unsigned>(std::atoi(text)) + 1;
  n = ::pwrite(fd, text, static_cast<size_t>(std::snprintf(text, sizeof text, "%u\n", count)), 0);
  ::close(fd);
  return count;
}

}  // namespace

Fault fault_of(const std::string& call) {
  const unsigned number = count_call(call);
  std::ifstream in(folder() + "/faults");
  for (std::string line; std::getline(in, line);) {
    std::istringstream words(line);
    std::string name;
    unsigned wanted = 0;
    Fault fault;
    if (!(words >> name >> wanted >> fault.action) || name != call) continue;
    words >> fault.argument;
    if (wanted == 0 || wanted == number) return fault;
  }
  return {};
}

void hang() {
  for (;;) ::pause();
}

}  // namespace fake
