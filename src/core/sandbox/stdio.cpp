// SPDX-License-Identifier: Apache-2.0
#include "core/sandbox/stdio.h"

#include <algorithm>
#include <cerrno>

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/error.h"
#include "core/base/log.h"

namespace coldstart {

namespace {
constexpr size_t remembered_lines = 1000;
constexpr size_t longest_line = size_t{64} << 10;
}  // namespace

// --- LogFile
// -----------------------------------------------------------------------------------------------------

LogFile::LogFile(std::filesystem::path path, uint64_t limit) : path_(std::move(path)), limit_(limit) {
  fd_ = open_file(path_, O_WRONLY | O_CREAT | O_APPEND, 0600);
  struct stat st {};
  check(::fstat(fd_.get(), &st), "cannot stat " + path_.string());
  size_ = static_cast<uint64_t>(st.st_size);
}

void LogFile::write(ByteSpan bytes) {
  if (size_ > 0 && size_ + bytes.size() > limit_) {
    check(::rename(path_.c_str(), (path_.string() + ".1").c_str()), "cannot rotate " + path_.string());
    fd_ = open_file(path_, O_WRONLY | O_CREAT | O_APPEND, 0600);
    size_ = 0;
  }
  write_full(fd_.get(), bytes);
  size_ += bytes.size();
}

// --- OutputPump
// --------------------------------------------------------------------------------------------------

OutputPump::OutputPump(const std::filesystem::path& log, int caller)
    : pipe_(make_pipe()),
      stop_(check(::eventfd(0, EFD_CLOEXEC), "cannot make an eventfd")),
      log_(log),
      caller_(caller) {}

OutputPump::~OutputPump() {
  finish();
}

void OutputPump::finish() {
  pipe_.write.reset();
  if (!thread_.joinable()) return;
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t n = ::write(stop_.get(), &one, sizeof one);  // cannot fail: it is 0
  thread_.join();
}

Fd OutputPump::take_write_end() {
  return std::move(pipe_.write);
}

void OutputPump::start() {
  thread_ = std::thread([this] {
    try {
      run();
    } catch (const Error& e) {
      log::warn("the program's output is no longer read: {}", e.message());
    }
    pipe_.read.reset();
  });
}

void OutputPump::run() {
  Bytes buffer(size_t{64} << 10);
  bool stopping = false;
  for (;;) {
    pollfd polls[2] = {{pipe_.read.get(), POLLIN, 0}, {stopping ? -1 : stop_.get(), POLLIN, 0}};
    const int n = ::poll(polls, 2, stopping ? 0 : -1);
    if (n < 0 && errno != EINTR) throw Error::sys("cannot poll");
    if (n < 0) continue;
    if (polls[0].revents == 0 && stopping) return;  // whoever still holds the other end is not awaited
    if (polls[0].revents != 0) {
      const ssize_t got = ::read(pipe_.read.get(), buffer.data(), buffer.size());
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) throw Error::sys("cannot read");
      if (got == 0) return;
      if (!take(ByteSpan(buffer).first(static_cast<size_t>(got)))) return;
    }
    if (polls[1].revents != 0) stopping = true;
  }
}

bool OutputPump::take(ByteSpan bytes) {
  remember(as_text(bytes));
  try {
    if (logging_) log_.write(bytes);
  } catch (const Error& e) {
    logging_ = false;
    log::warn("the program's output is no longer logged: {}", e.message());
  }
  if (caller_ < 0) return true;
  try {
    write_full(caller_, bytes);
  } catch (const Error& e) {
    if (e.error_number() != EPIPE) throw;
    return false;
  }
  return true;
}

void OutputPump::remember(std::string_view text) {
  const std::lock_guard lock(mutex_);
  while (!text.empty()) {
    const size_t end = text.find('\n');
    const std::string_view piece = text.substr(0, end);
    partial_.append(piece.substr(0, longest_line - std::min(longest_line, partial_.size())));
    if (end == std::string_view::npos) return;
    lines_.push_back(std::move(partial_));
    partial_.clear();
    if (lines_.size() > remembered_lines) {
      lines_.pop_front();
      ++dropped_;
    }
    text.remove_prefix(end + 1);
  }
}

bool OutputPump::matches(const std::regex& pattern, uint64_t& from) const {
  std::vector<std::string> lines;
  {
    const std::lock_guard lock(mutex_);
    const uint64_t skip = std::min<uint64_t>(std::max(from, dropped_) - dropped_, lines_.size());
    lines.assign(lines_.begin() + static_cast<std::ptrdiff_t>(skip), lines_.end());
    from = dropped_ + lines_.size();
    if (!partial_.empty()) lines.push_back(partial_);
  }
  return std::any_of(lines.begin(), lines.end(),
                     [&](const std::string& line) { return std::regex_search(line, pattern); });
}

std::string OutputPump::tail(size_t lines) const {
  const std::lock_guard lock(mutex_);
  std::string text;
  const size_t whole = partial_.empty() ? lines : lines - 1;
  for (size_t i = lines_.size() - std::min(whole, lines_.size()); i < lines_.size(); ++i)
    text += lines_[i] + '\n';
  text += partial_;
  while (text.ends_with('\n')) text.pop_back();
  return text;
}

}  // namespace coldstart
