// SPDX-License-Identifier: Apache-2.0
#include "core/memory/memory.h"

#include <array>
#include <cerrno>
#include <tuple>

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/error.h"
#include "core/base/log.h"

namespace coldstart {

namespace fs = std::filesystem;

namespace {

constexpr size_t result_limit = 65536;  // what a server says at its end is a few hundred bytes

std::string read_some(int fd, size_t limit) {
  Bytes bytes(limit);
  bytes.resize(read_full(fd, bytes));
  return std::string(as_text(bytes));
}

/// The error that the server told, in its own words.
Error told(const std::string& output, const ExitState& exit) {
  if (exit.signal != 0)
    return Error(fmt::format("the page server was killed by signal {}", exit.signal),
                 "the restored processes were killed with it");
  try {
    const Json error = parse_json(output, "the page server's result").at("error");
    return Error(error.value("message", std::string("the page server failed")),
                 error.value("hint", std::string()), static_cast<Exit>(exit.code));
  } catch (const std::exception&) {
    return Error(fmt::format("the page server failed with status {}", exit.code));
  }
}

std::pair<Fd, Fd> socket_pair() {
  int ends[2];
  check(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), "cannot make a socket");
  return {Fd(ends[0]), Fd(ends[1])};
}

}  // namespace

MemoryMode parse_memory_mode(std::string_view word) {
  if (word == "eager") return MemoryMode::eager;
  if (word == "lazy") return MemoryMode::lazy;
  if (word == "shared") return MemoryMode::shared;
  throw Error::usage(fmt::format("'{}' is no memory mode", word), "auto, eager, lazy or shared");
}

const char* to_string(MemoryMode mode) {
  return mode == MemoryMode::eager ? "eager" : mode == MemoryMode::lazy ? "lazy" : "shared";
}

OrderedJson to_json(const MemoryStatistics& s) {
  return {{"processes", s.processes},
          {"faults", s.faults},
          {"fault_pages", s.fault_pages},
          {"pushed_pages", s.pushed_pages},
          {"shared_pages", s.shared_pages},
          {"zero_pages", s.zero_pages},
          {"bytes", s.bytes()},
          {"seconds", s.seconds},
          {"fault_seconds", s.fault_seconds}};
}

MemoryStatistics memory_statistics_from_json(const Json& json) {
  const std::string document = "the page server's result";
  MemoryStatistics s;
  s.processes = field<uint64_t>(json, "processes", document);
  s.faults = field<uint64_t>(json, "faults", document);
  s.fault_pages = field<uint64_t>(json, "fault_pages", document);
  s.pushed_pages = field<uint64_t>(json, "pushed_pages", document);
  s.shared_pages = field<uint64_t>(json, "shared_pages", document);
  s.zero_pages = field<uint64_t>(json, "zero_pages", document);
  s.seconds = field<double>(json, "seconds", document);
  s.fault_seconds = field<double>(json, "fault_seconds", document);
  return s;
}

MemoryServer::MemoryServer(const MemoryServerOptions& options) {
  constexpr int status_number = 3;
  constexpr int hold_number = 5;
  constexpr int control_number = 4;
  Pipe status = make_pipe();
  Pipe output = make_pipe();
  const fs::path program = options.program.empty() ? fs::read_symlink("/proc/self/exe") : options.program;
  SpawnOptions spawn;
  spawn.argv = {program.string(),
                "--json",
                "lazy-pages",
                "--images-dir",
                options.images.string(),
                "--work-dir",
                options.work_folder.string(),
                "--status-fd",
                std::to_string(status_number)};
  if (!options.log.empty()) spawn.argv.insert(spawn.argv.end(), {"--log-file", options.log.string()});
  if (options.snapshot) {
    spawn.argv.insert(spawn.argv.begin() + 1, {"--store", options.store.string()});
    spawn.argv.insert(spawn.argv.end(), {"--snapshot", options.snapshot->text()});
  }
  const Fd null = open_file("/dev/null", O_RDWR);
  spawn.fds = {
      {null.get(), 0}, {output.write.get(), 1}, {null.get(), 2}, {status.write.get(), status_number}};
  Pipe hold;
  if (options.record) {
    hold = make_pipe();
    spawn.argv.insert(spawn.argv.end(), {"--record-until", std::to_string(hold_number)});
    spawn.fds.emplace_back(hold.read.get(), hold_number);
  }
  Fd theirs;
  std::tie(control_, theirs) = socket_pair();
  spawn.argv.insert(spawn.argv.end(), {"--control-fd", std::to_string(control_number)});
  spawn.fds.emplace_back(theirs.get(), control_number);
  if (!options.shared.empty()) spawn.argv.insert(spawn.argv.end(), {"--shared", options.shared.string()});
  spawn.new_session = true;
  server_ = Child(spawn);
  hold_ = std::move(hold.write);
  output_ = std::move(output.read);
  status_ = std::move(status.read);
}

void MemoryServer::kill_also(pid_t pid) {
  const auto number = static_cast<int32_t>(pid);
  try {
    write_full(control_.get(), std::as_bytes(std::span(&number, 1)));
  } catch (const Error& e) {
    log::debug("the page server has ended already: {}", e.message());
  }
}

void MemoryServer::until_it_listens() {
  const Fd status = std::move(status_);
  if (!status || read_some(status.get(), 1).size() == 1) return;
  const std::string said = read_some(output_.get(), result_limit);
  throw told(said, server_.wait());
}

void MemoryServer::release() {
  if (!hold_) return;
  try {
    write_full(hold_.get(), as_bytes("+"));
  } catch (const Error& e) {
    log::debug("the page server has ended already: {}", e.message());
  }
  hold_.reset();
}

void MemoryServer::settle(const CancelToken& cancel) {
  std::byte answer{};
  try {
    write_full(control_.get(), as_bytes("+"));
    // Not for the answer alone: a server that is killed leaves the other end to its guardian, which may have
    // to wait until we have reaped who runs in the sandbox's namespaces.
    std::array<pollfd, 3> polls{
        {{control_.get(), POLLIN, 0}, {server_.pidfd(), POLLIN, 0}, {cancel.fd(), POLLIN, 0}}};
    while (polls[0].revents == 0 && polls[1].revents == 0) {
      if (::poll(polls.data(), polls.size(), -1) < 0 && errno != EINTR) throw Error::sys("cannot poll");
      cancel.check();
    }
    if (polls[0].revents != 0 && read_full(control_.get(), std::span(&answer, 1)) == 1) return;
  } catch (const Error& e) {
    if (e.exit() == Exit::interrupted) throw;
    log::debug("the page server does not listen: {}", e.message());
  }
  const ExitState exit = server_.wait();
  throw told(exit.signal != 0 ? std::string() : read_some(output_.get(), result_limit), exit);
}

void MemoryServer::check(std::chrono::milliseconds patience) {
  const std::optional<ExitState> exit = server_.wait_for(patience);
  if (exit && !exit->ok()) throw told(exit->signal != 0 ? "" : read_some(output_.get(), result_limit), *exit);
}

void MemoryServer::check_killed(std::chrono::milliseconds patience) {
  const std::optional<ExitState> exit = server_.wait_for(patience);
  if (exit && exit->signal != 0) throw told({}, *exit);
}

MemoryStatistics MemoryServer::wait(const CancelToken& cancel) {
  std::array<pollfd, 2> polls{{{server_.pidfd(), POLLIN, 0}, {cancel.fd(), POLLIN, 0}}};
  for (;;) {
    if (::poll(polls.data(), polls.size(), -1) < 0 && errno != EINTR) throw Error::sys("cannot poll");
    cancel.check();
    if (polls[0].revents != 0) break;
  }
  const ExitState exit = server_.wait();
  // After the wait: should the server have been killed, its guardian still holds the other end for a while.
  if (exit.signal != 0) throw told({}, exit);
  const std::string said = read_some(output_.get(), result_limit);
  if (!exit.ok()) throw told(said, exit);
  return memory_statistics_from_json(parse_json(said, "the page server's result"));
}

}  // namespace coldstart
