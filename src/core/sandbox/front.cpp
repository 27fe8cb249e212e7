// SPDX-License-Identifier: Apache-2.0
#include "core/sandbox/front.h"

#include <cerrno>
#include <csignal>

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/error.h"

namespace coldstart {

namespace fs = std::filesystem;

namespace {

/// Our stdin on its way to the program. While a piece is not yet taken, no more is read.
class StdinPump {
 public:
  explicit StdinPump(Fd to) : to_(std::move(to)) {
    if (to_) check(::fcntl(to_.get(), F_SETFL, O_NONBLOCK), "cannot set a pipe up");
  }
  pollfd poll_input() const { return {to_ && text_.empty() ? STDIN_FILENO : -1, POLLIN, 0}; }
  pollfd poll_output() const {
    return {to_ ? to_.get() : -1, static_cast<short>(text_.empty() ? 0 : POLLOUT), 0};
  }

  void step(short input, short output) {
    if ((output & POLLERR) != 0) to_.reset();  // the program reads no more
    if (input != 0) read();
    if (to_ && !text_.empty()) write();
  }

 private:
  void read() {
    text_.resize(size_t{64} << 10);
    const ssize_t n = ::read(STDIN_FILENO, text_.data(), text_.size());
    text_.resize(n > 0 ? static_cast<size_t>(n) : 0);
    if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN)) to_.reset();
  }
  void write() {
    const ssize_t n = ::write(to_.get(), text_.data(), text_.size());
    if (n > 0) text_.erase(0, static_cast<size_t>(n));
    if (n < 0 && errno != EINTR && errno != EAGAIN) to_.reset();
  }

  Fd to_;
  std::string text_;
};

Fd memory_file(const std::string& text) {
  Fd fd(check(::memfd_create("spec", MFD_CLOEXEC), "cannot make a memory file"));
  pwrite_full(fd.get(), as_bytes(text), 0);
  return fd;
}

std::string text_of(const ReplicaSpec& spec) {
  try {
    return spec.to_json().dump();
  } catch (const OrderedJson::exception&) {
    throw Error::usage("the command, its environment and all paths must be UTF-8");
  }
}

Replica record_of(const ReplicaSpec& spec) {
  Replica record;
  record.name = spec.name;
  record.source = spec.source;
  record.command = spec.program.argv;
  record.environment = spec.program.environment;
  record.folder = spec.program.folder;
  record.net = spec.net;
  record.ports = spec.ports;
  return record;
}

}  // namespace

struct ReplicaFront::Impl {
  std::string id;
  fs::path folder;
  Fd control;
  Fd input;  // write end of the program's stdin
  Child supervisor;
  pid_t pid = 0, pid_inside = 0;
  bool ready = false, prepared = false, frozen = false;
  bool only_has_to_run = false;  // there is nothing to be ready for
  int signal_told = 0;           // that we were cancelled for
  const CancelToken* cancel = nullptr;
  std::optional<ExitState> ended;

  void spawn(const ReplicaSpec& spec, int lock);
  void take(const StageSink& report);
  void wait_for(const bool& flag, bool value, const CancelToken& cancel, const StageSink& report);
  void order(const char* what);
  void change(const char* what, bool to_frozen);
  void tell(const std::string& message);
  bool leaves_to_supervisor(const CancelToken& token);
  void forward(int signal);
  ~Impl();
};

void ReplicaFront::Impl::spawn(const ReplicaSpec& spec, int lock) {
  int ends[2];
  check(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), "cannot make a socket");
  control = Fd(ends[0]);
  const Fd theirs(ends[1]);
  const Fd document = memory_file(text_of(spec));
  const Fd null = open_file("/dev/null", O_RDWR);
  const Fd log = open_file(folder / "supervisor.log", O_WRONLY | O_CREAT | O_APPEND);
  Fd input_end;
  SpawnOptions options;
  options.argv = {"/proc/self/exe", "--store", spec.store, "replica-supervisor"};
  options.fds = {{null.get(), 0},
                 {spec.output_to_caller ? STDOUT_FILENO : null.get(), 1},
                 {spec.output_to_caller ? STDERR_FILENO : log.get(), 2},
                 {document.get(), SupervisorFds::spec},
                 {theirs.get(), SupervisorFds::control},
                 {lock, SupervisorFds::lock}};
  if (spec.stdin_from_caller) {
    Pipe pipe = make_pipe();
    input_end = std::move(pipe.read);
    input = std::move(pipe.write);
    options.fds.emplace_back(input_end.get(), SupervisorFds::input);
  }
  options.folder = "/";
  options.new_session = true;  // a Ctrl-C is ours to forward
  options.die_with_us = false;
  supervisor = Child(options);
}

/// One message, which is waited for.
void ReplicaFront::Impl::take(const StageSink& report) {
  std::string text(size_t{256} << 10, '\0');
  ssize_t n = 0;
  while ((n = ::recv(control.get(), text.data(), text.size(), 0)) < 0)
    if (errno != EINTR) throw Error::sys("cannot hear the replica's supervisor");
  if (n == 0)
    throw Error("the supervisor of the replica " + id + " died",
                "its log is " + (folder / "supervisor.log").string());
  text.resize(static_cast<size_t>(n));
  const std::string document = "the supervisor's message";
  const Json json = parse_json(text, document);
  const auto state = field<std::string>(json, "state", document);
  if (state == "stage") {
    if (!report) return;
    std::optional<uint64_t> bytes;
    if (json.contains("bytes")) bytes = field<uint64_t>(json, "bytes", document);
    const std::chrono::steady_clock::duration start(field<int64_t>(json, "start", document));
    report(field<std::string>(json, "name", document), std::chrono::steady_clock::time_point(start),
           field<double>(json, "seconds", document), bytes);
  } else if (state == "running") {
    pid = field<pid_t>(json, "pid", document);
    pid_inside = field<pid_t>(json, "pid_inside", document);
  } else if (state == "ready") {
    ready = true;
  } else if (state == "prepared") {
    prepared = true;
  } else if (state == "frozen" || state == "thawed") {
    frozen = state == "frozen";
  } else if (state == "exited") {
    ended = ExitState{field<int>(json, "code", document), field<int>(json, "signal", document)};
  } else {
    throw error_from_json(field<Json>(json, "error", document), document);
  }
}

/// True if it is for the supervisor to decide whether a signal that came to us ends the launch or goes to
/// the program: it may run already, and have said so to the user but not yet to us.
bool ReplicaFront::Impl::leaves_to_supervisor(const CancelToken& token) {
  if (!only_has_to_run || (token.signal() != SIGINT && token.signal() != SIGTERM)) return false;
  if (signal_told == 0) forward(signal_told = token.signal());
  return true;
}

void ReplicaFront::Impl::forward(int signal) {
  const std::string message = R"({"signal": )" + std::to_string(signal) + "}";
  // The supervisor may just have gone; its last message is still to be read then.
  [[maybe_unused]] const ssize_t n = ::send(control.get(), message.data(), message.size(), MSG_NOSIGNAL);
}

ReplicaFront::Impl::~Impl() {
  control.reset();
  input.reset();
  try {
    if (supervisor) supervisor.wait();
  } catch (const Error&) {
    supervisor.release();  // it cannot be waited for: then it is none of ours any more
  }
}

ReplicaFront::ReplicaFront(Replicas& replicas, ReplicaSpec& spec) : impl_(std::make_unique<Impl>()) {
  spec.store = fs::absolute(spec.store);
  Replica record = record_of(spec);
  const ReplicaFolder folder = replicas.create(record);
  spec.id = record.id;
  impl_->id = record.id;
  impl_->folder = folder.path();
  impl_->only_has_to_run = spec.ready.kind == Readiness::Kind::running;
  impl_->spawn(spec, folder.lock_fd());
}

ReplicaFront::ReplicaFront(ReplicaFront&&) noexcept = default;
ReplicaFront::~ReplicaFront() = default;

const std::string& ReplicaFront::id() const {
  return impl_->id;
}
pid_t ReplicaFront::pid() const {
  return impl_->pid;
}
pid_t ReplicaFront::pid_inside() const {
  return impl_->pid_inside;
}
const std::optional<ExitState>& ReplicaFront::ended() const {
  return impl_->ended;
}

void ReplicaFront::Impl::wait_for(const bool& flag, bool value, const CancelToken& token,
                                  const StageSink& report) {
  while (flag != value) {
    const bool told = token.cancelled() && leaves_to_supervisor(token);
    if (!told) token.check();
    pollfd polls[2] = {{control.get(), POLLIN, 0}, {told ? -1 : token.fd(), POLLIN, 0}};
    if (::poll(polls, 2, -1) < 0 && errno != EINTR) throw Error::sys("cannot poll");
    if (polls[0].revents != 0) take(report);
  }
}

void ReplicaFront::wait_ready(const CancelToken& cancel, const StageSink& report) {
  impl_->cancel = &cancel;
  impl_->wait_for(impl_->ready, true, cancel, report);
}

void ReplicaFront::wait_prepared(const CancelToken& cancel, const StageSink& report) {
  impl_->wait_for(impl_->prepared, true, cancel, report);
}

void ReplicaFront::Impl::tell(const std::string& message) {
  if (::send(control.get(), message.data(), message.size(), MSG_NOSIGNAL) < 0)
    throw Error::sys("cannot speak to the supervisor of the replica " + id);
}

void ReplicaFront::Impl::order(const char* what) {
  tell(std::string(R"({"order": ")") + what + "\"}");
}

/// Orders and waits for the answer.
void ReplicaFront::Impl::change(const char* what, bool to_frozen) {
  using Clock = std::chrono::steady_clock;
  const auto deadline = Clock::now() + std::chrono::seconds(to_frozen ? 10 : 1);
  order(what);
  while (frozen != to_frozen) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now());
    if (left.count() <= 0) throw Error("the supervisor of the replica " + id + " does not answer");
    pollfd p{control.get(), POLLIN, 0};
    if (::poll(&p, 1, static_cast<int>(left.count())) < 0 && errno != EINTR) throw Error::sys("cannot poll");
    if (p.revents != 0) take({});
    if (ended) throw Error("the replica " + id + " has ended");
  }
}

void ReplicaFront::go() {
  impl_->order("go");
}
void ReplicaFront::freeze() {
  impl_->change("freeze", true);
}
void ReplicaFront::thaw() {
  impl_->change("thaw", false);
}
void ReplicaFront::outlive_us(bool yes) {
  impl_->tell(yes ? R"({"detach": true})" : R"({"detach": false})");
}
int ReplicaFront::event_fd() const {
  return impl_->control.get();
}

bool ReplicaFront::ended_meanwhile() {
  try {
    for (;;) {
      pollfd p{impl_->control.get(), POLLIN, 0};
      if (impl_->ended) return true;
      if (::poll(&p, 1, 0) <= 0) return false;
      impl_->take({});
    }
  } catch (const Error&) {
    return true;
  }
}

void ReplicaFront::detach() {
  impl_->tell(R"({"detach": true})");
  impl_->supervisor.release();
}

ExitState ReplicaFront::attend(int signals) {
  StdinPump stdin_pump(std::move(impl_->input));
  // What came between the last look at the token and the signalfd.
  if (impl_->cancel != nullptr && impl_->cancel->signal() != 0 && impl_->signal_told == 0)
    impl_->forward(impl_->cancel->signal());
  while (!impl_->ended) {
    pollfd polls[4] = {{impl_->control.get(), POLLIN, 0},
                       {signals, POLLIN, 0},
                       stdin_pump.poll_input(),
                       stdin_pump.poll_output()};
    if (::poll(polls, 4, -1) < 0) {
      if (errno == EINTR) continue;
      throw Error::sys("cannot poll");
    }
    if (polls[0].revents != 0) impl_->take({});
    if (polls[1].revents != 0) {
      signalfd_siginfo info{};
      if (::read(signals, &info, sizeof info) != sizeof info) throw Error::sys("cannot read a signal");
      impl_->forward(static_cast<int>(info.ssi_signo));
    }
    stdin_pump.step(polls[2].revents, polls[3].revents);
  }
  return *impl_->ended;
}

}  // namespace coldstart
