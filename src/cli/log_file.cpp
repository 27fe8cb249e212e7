// SPDX-License-Identifier: Apache-2.0
#include "cli/log_file.h"

#include <mutex>

#include <fcntl.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/fd.h"
#include "core/base/files.h"

namespace coldstart {

namespace {

constexpr off_t limit_bytes = off_t{1} << 20;

/// Opens the file for each line: lines are rare, and so a renamed or deleted file needs no care.
class SharedLogFile final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit SharedLogFile(std::filesystem::path file) : file_(std::move(file)) {}

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    spdlog::memory_buf_t line;
    formatter_->format(message, line);
    const Fd fd(::open(file_.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600));
    if (!fd || ::flock(fd.get(), LOCK_EX) != 0) return;
    [[maybe_unused]] const ssize_t n = ::write(fd.get(), line.data(), line.size());
    rotate(fd.get());
  }
  void flush_() override {}

 private:
  /// Under the file's lock. Who waited for the lock of a file that was renamed meanwhile writes its line
  /// there.
  void rotate(int fd) {
    struct stat ours {};
    struct stat named {};
    if (::fstat(fd, &ours) != 0 || ours.st_size < limit_bytes) return;
    if (::stat(file_.c_str(), &named) != 0 || named.st_ino != ours.st_ino) return;
    ::rename(file_.c_str(), (file_.string() + ".1").c_str());
  }

  const std::filesystem::path file_;
};

}  // namespace

void log_to_file(const std::filesystem::path& file, const std::string& name) {
  make_folders(file.parent_path());
  auto logger = std::make_shared<spdlog::logger>(name, std::make_shared<SharedLogFile>(file));
  logger->set_level(spdlog::get_level());
  logger->set_pattern("%Y-%m-%dT%H:%M:%S.%e%z %P %l %n: %v");
  spdlog::set_default_logger(std::move(logger));
}

}  // namespace coldstart
