// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/criu_worker.h"

#include <array>
#include <cerrno>
#include <chrono>

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/log.h"
#include "core/checkpoint/criu_log.h"

using namespace std::string_literals;

namespace coldstart {

namespace {

constexpr size_t message_limit = 1 << 20;
// FI_NO_BREAKPOINTS, of what CRIU's own tests make it do without.
constexpr const char* do_without_breakpoints = "CRIU_FAULT=130";

struct SocketPair {
  Fd ours;
  Fd theirs;
};

SocketPair socket_pair() {
  int ends[2];
  check(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), "cannot make a socket for CRIU");
  return {Fd(ends[0]), Fd(ends[1])};
}

/// Waits until `socket` has something; throws what `cancel` says once it is set.
void wait_readable(int socket, CancelToken* cancel) {
  std::array<pollfd, 2> polls{{{socket, POLLIN, 0}, {cancel != nullptr ? cancel->fd() : -1, POLLIN, 0}}};
  while (::poll(polls.data(), polls.size(), -1) < 0)
    if (errno != EINTR) throw Error::sys("cannot poll CRIU");
  if (cancel != nullptr) cancel->check();
}

}  // namespace

CriuWorker::CriuWorker(const CriuProgram& criu, const CriuOptions& options, const StartInside& start,
                       const std::vector<int>& inherited, pid_t pid_inside)
    : log_(options.log) {
  SocketPair pair = socket_pair();
  socket_ = std::move(pair.ours);
  const Fd null = open_file("/dev/null", O_RDONLY);
  const Fd log = open_file(log_, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND);
  const Fd root = criu.open_root();
  const Fd images_folder = open_file(options.images, O_RDONLY | O_DIRECTORY);
  const Fd work_folder =
      open_file(options.work.empty() ? options.images : options.work, O_RDONLY | O_DIRECTORY);

  ProgramSpec spec;
  spec.argv = criu.start_by(program);
  // No configuration of the image's, and no plugin: a folder that always is there and never has one.
  for (const std::string& word : {std::string("--no-default-config"), "--libdir"s, "/proc/self/fdinfo"s,
                                  "--work-dir"s, fmt::format("/proc/self/fd/{}", work)})
    spec.argv.push_back(word);
  if (options.files_never_change) spec.argv.insert(spec.argv.end(), {"--file-validation", "filesize"});
  spec.argv.insert(spec.argv.end(), {"swrk", std::to_string(socket)});
  if (options.no_breakpoints) spec.environment.emplace_back(do_without_breakpoints);
  spec.fds = {{null.get(), 0},          {log.get(), 1},
              {log.get(), 2},           {pair.theirs.get(), socket},
              {root.get(), program},    {images_folder.get(), images},
              {work_folder.get(), work}};
  for (size_t i = 0; i < inherited.size(); ++i)
    spec.fds.emplace_back(inherited[i], first_inherited + static_cast<int>(i));
  spec.pid_inside = pid_inside;
  child_ = start(spec);
}

void CriuWorker::send(const criu::Request& request) {
  const std::string text = request.SerializeAsString();
  while (::send(socket_.get(), text.data(), text.size(), MSG_NOSIGNAL) < 0)
    if (errno == EPIPE || errno == ECONNRESET)
      throw gone();
    else if (errno != EINTR)
      throw Error::sys("cannot speak to CRIU");
}

criu::Response CriuWorker::receive(CancelToken* cancel) {
  wait_readable(socket_.get(), cancel);
  std::string text(message_limit, '\0');
  // Descriptors that may come along are not asked for: without room for them the kernel drops them.
  ssize_t size = 0;
  do size = ::recv(socket_.get(), text.data(), text.size(), 0);
  while (size < 0 && errno == EINTR);
  if (size < 0 && errno != ECONNRESET) throw Error::sys("cannot hear CRIU");
  if (size <= 0) throw gone();
  criu::Response response;
  if (!response.ParseFromArray(text.data(), static_cast<int>(size)))
    throw Error("CRIU says something that cannot be read", "is it a CRIU? see 'coldstart doctor'");
  return response;
}

Error CriuWorker::gone() {
  // Killed, it had no time to say why: what it has logged as an error is something else.
  const auto exit = child_.wait_for(std::chrono::seconds(1));
  if (exit && exit->signal != 0)
    return Error("CRIU was killed by signal " + std::to_string(exit->signal),
                 "CRIU's log is " + log_.string());
  return failure("CRIU ended");
}

void CriuWorker::answer(bool success) {
  criu::Request request;
  request.set_type(criu::NOTIFY);
  request.set_notify_success(success);
  send(request);
}

std::string CriuWorker::log() const {
  try {
    return read_text(log_);
  } catch (const Error& e) {
    log::debug("no log of CRIU: {}", e.message());
    return {};
  }
}

Error CriuWorker::failure(std::string_view doing) const {
  const Error error = criu_error(doing, log());
  const std::string place = "CRIU's log is " + log_.string();
  return error.with_hint(error.hint().empty() ? place : error.hint() + "; " + place);
}

void CriuWorker::finish() {
  child_.wait();
  if (::unlink(log_.c_str()) != 0) log::debug("cannot remove {}", log_.string());
}

}  // namespace coldstart
