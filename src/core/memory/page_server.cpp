// SPDX-License-Identifier: Apache-2.0
#include "core/memory/page_server.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/error.h"
#include "core/base/log.h"
#include "core/base/unix_socket.h"
#include "core/base/workers.h"
#include "core/memory/memory_tier.h"

namespace coldstart {

namespace fs = std::filesystem;

namespace {

constexpr int32_t restore_finished = 0x52535446;
constexpr const char* socket_name = "lazy-pages.socket";
constexpr uint64_t most_pushed_at_once = uint64_t{2} << 20;
// How soon after a fork we look for the child, which becomes visible only once fork() is through.
constexpr int after_fork_ms = 5;
// How long a restored program waits for huge pages to be mapped: enough for some 30 GB. The rest is pushed.
constexpr auto longest_wait_for_huge = std::chrono::milliseconds(50);

/// What is in memory already is mapped in no time: where there are few processors, the restored program needs
/// them more.
unsigned pushers(bool shared) {
  return shared ? std::clamp(default_jobs() / 2, 1U, 2U) : 2;
}

Fd make_eventfd() {
  return Fd(check(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "cannot make an eventfd"));
}

void signal_event(const Fd& fd) {
  const uint64_t one = 1;
  // Fails only when it is signalled already, 2^64 times.
  [[maybe_unused]] const ssize_t n = ::write(fd.get(), &one, sizeof one);
}

struct Message {
  size_t size = 0;
  Fd fd;
  pid_t sender = 0;  // as we see it; 0: in a pid namespace that is not below ours
};

/// Reads up to `into.size()` bytes and what came with them.
Message receive(int socket, MutableByteSpan into) {
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(ucred))> control{};
  iovec io{into.data(), into.size()};
  msghdr message{};
  message.msg_iov = &io;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  ssize_t n;
  do n = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  while (n < 0 && errno == EINTR);
  if (n < 0) throw Error::sys("cannot read from CRIU");
  Message got;
  got.size = static_cast<size_t>(n);
  for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
    if (c->cmsg_level != SOL_SOCKET) continue;
    if (c->cmsg_type == SCM_RIGHTS) {
      int fd;
      std::memcpy(&fd, CMSG_DATA(c), sizeof fd);
      got.fd = Fd(fd);
    } else if (c->cmsg_type == SCM_CREDENTIALS) {
      ucred who;
      std::memcpy(&who, CMSG_DATA(c), sizeof who);
      got.sender = who.pid;
    }
  }
  return got;
}

}  // namespace

PageServer::PageServer(std::unique_ptr<SnapshotPages> pages, const PageServerOptions& options)
    : options_(options),
      pages_(std::move(pages)),
      shared_(options.shared.empty() ? nullptr : std::make_shared<SharedPages>(options.shared)) {
  holding_ = options.hold_until >= 0;
  coming_ = pages_->is_far();
  if (options.push_bytes == 0 || options.push_bytes % page_size != 0 ||
      options.push_bytes > most_pushed_at_once)
    throw Error::usage("a batch is whole pages, at most 2 MiB");
  listener_ = listen_on(options.work_folder / socket_name, SOCK_STREAM, 1);
  epoll_ = Fd(check(::epoll_create1(EPOLL_CLOEXEC), "cannot make an epoll"));
  news_ = make_eventfd();
  stopper_ = make_eventfd();
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = 0;
  check(::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, stopper_.get(), &event), "cannot watch an eventfd");
}

PageServer::~PageServer() {
  stop_threads();
}

MemoryStatistics PageServer::serve(const CancelToken& cancel) {
  const auto begun = std::chrono::steady_clock::now();
  try {
    run(cancel);
  } catch (...) {
    // The userfaultfds are still open, so whoever misses a page waits; the threads go on answering, if they
    // can.
    family_.kill();
    stop_threads();
    throw;
  }
  stop_threads();
  MemoryStatistics statistics;
  statistics.processes = next_id_ - 1;
  statistics.faults = counters_.faults;
  statistics.fault_pages = counters_.fault_pages;
  statistics.pushed_pages = counters_.pushed_pages;
  statistics.shared_pages = counters_.shared_pages;
  statistics.zero_pages = counters_.zero_pages;
  statistics.fault_seconds = static_cast<double>(counters_.fault_nanoseconds) / 1e9;
  statistics.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
  return statistics;
}

void PageServer::run(const CancelToken& cancel) {
  start_threads();
  Fd client = accept(cancel);
  watch_until_done(cancel, std::move(client));
}

Fd PageServer::accept(const CancelToken& cancel) {
  std::array<pollfd, 3> polls{
      {{listener_.get(), POLLIN, 0}, {cancel.fd(), POLLIN, 0}, {options_.control, POLLIN, 0}}};
  for (;;) {
    if (::poll(polls.data(), polls.size(), -1) < 0 && errno != EINTR) throw Error::sys("cannot poll");
    cancel.check();
    if (polls[2].revents != 0) {
      take_further_process();
      polls[2].fd = -1;
    }
    if (polls[0].revents == 0) continue;
    Fd client(
        check(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC), "cannot accept CRIU's connection"));
    take_criu(client.get());
    const int on = 1;
    check(::setsockopt(client.get(), SOL_SOCKET, SO_PASSCRED, &on, sizeof on), "cannot ask who sends");
    listener_.reset();
    std::error_code ignored;
    fs::remove(options_.work_folder / socket_name, ignored);
    return client;
  }
}

/// It is told before CRIU is asked to restore, so before CRIU connects.
void PageServer::take_further_process() {
  int32_t pid = 0;
  if (read_full(options_.control, std::as_writable_bytes(std::span(&pid, 1))) != sizeof pid)
    throw Error("whoever restores ended before CRIU came");
  family_.add(pid);
}

/// CRIU itself belongs to the processes of the restore until that is complete: when one of its tasks is
/// killed at the wrong moment it waits for that for ever.
void PageServer::take_criu(int client) {
  ucred who{};
  socklen_t size = sizeof who;
  check(::getsockopt(client, SOL_SOCKET, SO_PEERCRED, &who, &size), "cannot ask who restores");
  criu_ = who.pid;  // 0: in a pid namespace that is not below ours
  if (criu_ > 0) family_.add(criu_);
}

/// Main thread: CRIU's messages, and whatever may end the service.
void PageServer::watch_until_done(const CancelToken& cancel, Fd client) {
  int control = options_.control;
  // Who holds a copy also looks after those that nobody holds.
  const Fd pressure = shared_ ? watch_memory_pressure() : Fd();
  for (;;) {
    bool forked;
    bool holding;
    bool many;
    {
      const std::lock_guard lock(mutex_);
      holding = holding_;
      if (failure_) std::rethrow_exception(failure_);
      if (restored_ && spaces_.empty()) return;
      forked = std::exchange(forked_, false);
      many = spaces_.size() > 2 * swept_ + 16;
    }
    std::array<pollfd, 8> polls{{{client.get(), POLLIN, 0},
                                 {news_.get(), POLLIN, 0},
                                 {cancel.fd(), POLLIN, 0},
                                 {guardian_.pidfd(), POLLIN, 0},
                                 {family_.ended_fd(), POLLIN, 0},
                                 {control, POLLIN, 0},
                                 {holding ? options_.hold_until : -1, POLLIN, 0},
                                 {pressure.get(), POLLPRI, 0}}};
    if (::poll(polls.data(), polls.size(), forked ? after_fork_ms : -1) < 0 && errno != EINTR)
      throw Error::sys("cannot poll");
    if (forked) family_.refresh();
    if (many) sweep();
    cancel.check();
    if (polls[3].revents != 0) throw Error("the guardian of the page server was killed");
    if (polls[1].revents != 0) {
      uint64_t count;
      [[maybe_unused]] const ssize_t n = ::read(news_.get(), &count, sizeof count);
    }
    if (polls[6].revents != 0) end_hold();
    if ((polls[7].revents & POLLPRI) != 0) MemoryTier::of(options_.shared).relieve();
    if (polls[0].revents != 0 && !take_message(client.get())) client.reset();
    if (polls[4].revents != 0) {
      family_.refresh();
      sweep();
    }
    if (polls[5].revents != 0) {
      settle_when_told(control);
      control = -1;
    }
  }
}

/// CRIU waits at its last station until we have answered.
void PageServer::settle_when_told(int control) {
  char byte = 0;
  if (::read(control, &byte, 1) != 1) return;  // the restore failed: its processes' end is ours
  std::map<uint32_t, std::weak_ptr<AddressSpace>> all;
  {
    const std::lock_guard lock(mutex_);
    all = restored_spaces_;
  }
  for (const auto& [pid, restored] : all)
    if (const auto space = restored.lock()) space->bring_pinned(pids_[pid]);
  const auto until = std::chrono::steady_clock::now() + longest_wait_for_huge;
  for (const auto& [pid, restored] : all)
    if (const auto space = restored.lock()) space->share(pids_[pid], until);
  {
    const std::lock_guard lock(mutex_);
    shares_ = true;
  }
  write_full(control, as_bytes("+"));
  work_.notify_all();
}

/// Lets go of address spaces whose processes have ended, of which the kernel says nothing.
void PageServer::sweep() {
  Spaces all;
  {
    const std::lock_guard lock(mutex_);
    all = spaces_;
  }
  for (const auto& [id, space] : all)
    if (!space->lives()) retire(id);
  const std::lock_guard lock(mutex_);
  swept_ = spaces_.size();
}

/// One message of CRIU; false after the last.
bool PageServer::take_message(int client) {
  int32_t pid = 0;
  const Message head = receive(client, std::as_writable_bytes(std::span(&pid, 1)));
  if (head.size == 0)
    throw Error("CRIU ended before the restore was complete", "see its own log for the reason");
  if (head.size != sizeof pid) throw Error("CRIU sent something else than the lazy-pages protocol");
  if (pid == restore_finished) {
    finish_restore();
    return false;
  }
  // The sender is the process itself, still running CRIU's code. It is known before its userfaultfd is ours,
  // so that the guardian never holds memory of a process it cannot kill.
  if (head.sender > 0)
    family_.add(head.sender);
  else if (family_.size() == 0)
    log::warn("process {} is in another pid namespace: it hangs rather than ends should the server fail",
              pid);
  if (pid < 0) return true;  // a zombie: it has no memory
  std::byte dummy{};
  Message userfault = receive(client, std::span(&dummy, 1));
  if (!userfault.fd) throw Error(fmt::format("CRIU sent no userfaultfd for process {}", pid));
  check(::fcntl(userfault.fd.get(), F_SETFL, O_NONBLOCK), "cannot set up a userfaultfd");
  auto source = pages_->process(static_cast<uint32_t>(pid));
  std::shared_ptr<const SharedProcess> shared;
  if (shared_) shared = std::make_shared<SharedProcess>(shared_, static_cast<uint32_t>(pid));
  if (shared && shared->mappings().empty() && shared->pinned().empty()) shared = nullptr;
  std::vector<PinnedMapping> pinned = options_.pinned;
  std::erase_if(pinned, [pid](const PinnedMapping& m) { return m.pid != static_cast<uint32_t>(pid); });
  auto space = std::make_shared<AddressSpace>(std::move(userfault.fd), std::move(source), counters_,
                                              std::move(shared), pinned);
  {
    const std::lock_guard lock(mutex_);
    restored_spaces_[static_cast<uint32_t>(pid)] = space;
  }
  pids_[static_cast<uint32_t>(pid)] = head.sender;
  adopt(std::move(space));
  return true;
}

/// Main thread: whoever holds the pushers back lets them go, or is gone.
void PageServer::end_hold() {
  std::byte word{};
  if (read_full(options_.hold_until, std::span(&word, 1)) == 1) options_.recorded();
  {
    const std::lock_guard lock(mutex_);
    holding_ = false;
  }
  work_.notify_all();
}

void PageServer::finish_restore() {
  family_.remove(criu_);
  std::vector<std::pair<uint64_t, std::shared_ptr<AddressSpace>>> all;
  {
    const std::lock_guard lock(mutex_);
    restored_ = true;
    all.assign(spaces_.begin(), spaces_.end());
  }
  work_.notify_all();
  for (const auto& [id, space] : all) {
    space->finish_when_filled();
    if (space->finished()) retire(id);
  }
}

void PageServer::adopt(std::shared_ptr<AddressSpace> space) {
  uint64_t id;
  bool restored;
  {
    const std::lock_guard lock(mutex_);
    id = next_id_++;
    spaces_.emplace(id, space);
    restored = restored_;
  }
  if (restored) space->finish_when_filled();
  if (!space->watch(epoll_.get(), id)) return retire(id);
  work_.notify_all();
}

void PageServer::retire(uint64_t id) {
  {
    const std::lock_guard lock(mutex_);
    spaces_.erase(id);
    if (!spaces_.empty()) return;
  }
  tell_main();
}

void PageServer::start_threads() {
  // Signals are for the main thread.
  sigset_t every;
  sigset_t before;
  sigfillset(&every);
  ::pthread_sigmask(SIG_SETMASK, &every, &before);
  const auto run_thread = [this](void (PageServer::*work)()) {
    threads_.emplace_back([this, work] {
      try {
        (this->*work)();
      } catch (...) {
        fail(std::current_exception());
      }
    });
  };
  for (unsigned i = 0; i < options_.fault_threads; ++i) run_thread(&PageServer::answer_faults);
  for (unsigned i = 0; i < pushers(shared_ != nullptr); ++i) run_thread(&PageServer::push_pages);
  run_thread(&PageServer::read_ahead);
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void PageServer::stop_threads() noexcept {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  work_.notify_all();
  signal_event(stopper_);
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

void PageServer::fail(std::exception_ptr failure) {
  {
    const std::lock_guard lock(mutex_);
    if (!failure_) failure_ = std::move(failure);
  }
  tell_main();
}

void PageServer::tell_main() {
  signal_event(news_);
}

}  // namespace coldstart
