// SPDX-License-Identifier: Apache-2.0
// The owner's end.
#include "core/gpu/controller.h"

#include <algorithm>
#include <cerrno>

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>

#include "core/base/log.h"
#include "core/base/process_tree.h"

namespace coldstart {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

namespace {

constexpr auto call_limit = 10min;     // copying a GPU's memory takes seconds
constexpr auto question_limit = 2min;  // cuInit of many GPUs takes half a minute at most
constexpr auto finish_limit = 60s;     // then it is left to end by itself
constexpr size_t packet_limit = 65536;
const char* const document = "the GPU controller's answer";

void send_packet(int socket, const std::string& text) {
  while (::send(socket, text.data(), text.size(), MSG_NOSIGNAL) < 0)
    if (errno != EINTR) throw Error::sys("the GPU controller does not listen");
}

}  // namespace

GpuController::GpuController(const fs::path& store_root) : store_root_(store_root) {
  int ends[2];
  check(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), "cannot make a socket");
  socket_ = Fd(ends[0]);
  const Fd theirs(ends[1]);
  const Fd null = open_file("/dev/null", O_RDWR);
  SpawnOptions spawn;
  spawn.argv = {"/proc/self/exe", "--store", store_root.string(), "gpu-controller"};
  spawn.fds = {{null.get(), 0}, {null.get(), 1}, {theirs.get(), socket_number}};
  spawn.new_session = true;
  spawn.die_with_us = false;
  process_ = Child(spawn);
}

GpuController::~GpuController() {
  if (!process_) return;
  try {
    for (const PutBack& one : finish()) log::warn("{}", one.text());
  } catch (const Error& e) {
    log::warn("{}", e.message());
  }
  socket_.reset();
  // Never killed: a call that does not end goes on without us, and then ends the controller too.
  if (process_ && !process_.wait_for(finish_limit)) process_.release();
}

Json GpuController::receive(Clock::time_point deadline, const std::string& waits_for) {
  for (;;) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now());
    pollfd p{socket_.get(), POLLIN, 0};
    const int n = ::poll(&p, 1, static_cast<int>(std::max<int64_t>(0, left.count())));
    if (n < 0 && errno != EINTR) throw Error::sys("cannot wait for the GPU controller");
    if (n == 0)
      throw Error(fmt::format("the NVIDIA driver does not answer: {}", waits_for),
                  "the call goes on; 'coldstart recover' later puts the process back");
    if (n < 0) continue;
    Bytes packet(packet_limit);
    const ssize_t size = ::recv(socket_.get(), packet.data(), packet.size(), 0);
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) throw Error("the GPU controller died while it had to " + waits_for);
    return parse_json(as_text(ByteSpan(packet).first(static_cast<size_t>(size))), document);
  }
}

std::vector<Json> GpuController::ask(const std::vector<Ask>& asks, std::chrono::milliseconds limit,
                                     const CancelToken& cancel) {
  cancel.check();
  const uint64_t first = next_id_;
  for (const Ask& one : asks) {
    Json request = one.more;
    request["id"] = next_id_++;
    request["op"] = one.op;
    request["pid"] = one.pid;
    send_packet(socket_.get(), request.dump());
  }
  std::vector<Json> answers(asks.size());
  std::optional<Error> failure;
  const auto deadline = Clock::now() + limit;
  for (size_t left = asks.size(); left > 0;) {
    const std::string waits_for = asks.size() == 1 && asks[0].pid != 0
                                      ? fmt::format("{} process {}", asks[0].op, asks[0].pid)
                                      : fmt::format("{} {} processes", asks[0].op, asks.size());
    Json answer = receive(deadline, waits_for);
    const auto id = field<uint64_t>(answer, "id", document);
    if (id < first || id >= next_id_) continue;  // of a question whose wait was given up
    if (answer.contains("error") && !failure) failure = error_from_json(answer["error"], document);
    answers.at(id - first) = std::move(answer);
    --left;
  }
  if (failure) throw *failure;
  cancel.check();
  return answers;
}

std::vector<Json> GpuController::ask_each(const std::string& op, const std::vector<pid_t>& pids,
                                          const Json& more, std::chrono::milliseconds limit,
                                          const CancelToken& cancel) {
  std::vector<Ask> asks;
  asks.reserve(pids.size());
  for (const pid_t pid : pids) asks.push_back({op, pid, more});
  return asks.empty() ? std::vector<Json>() : ask(asks, limit, cancel);
}

std::vector<pid_t> GpuController::cuda_processes(const std::vector<pid_t>& among, const CancelToken& cancel) {
  const auto answers = ask_each("restore_thread", among, Json::object(), question_limit, cancel);
  std::vector<pid_t> found;
  for (size_t i = 0; i < answers.size(); ++i)
    if (!answers[i].at("value").is_null()) found.push_back(among[i]);
  return found;
}

GpuState GpuController::state(pid_t pid, const CancelToken& cancel) {
  const Json answer = ask({{"state", pid, Json::object()}}, question_limit, cancel).front();
  return gpu_state_from(field<std::string>(answer, "value", document)).value_or(GpuState::failed);
}

void GpuController::lock(const std::vector<pid_t>& pids, std::chrono::milliseconds timeout,
                         const CancelToken& cancel) {
  ask_each("lock", pids, {{"timeout_ms", timeout.count()}}, timeout + question_limit, cancel);
}

void GpuController::checkpoint(const std::vector<pid_t>& pids, const CancelToken& cancel) {
  ask_each("checkpoint", pids, Json::object(), call_limit, cancel);
}

void GpuController::restore(const std::vector<pid_t>& pids, const GpuMap& map, const CancelToken& cancel) {
  ask_each("restore", pids, {{"map", to_text(map)}}, call_limit, cancel);
}

void GpuController::unlock(const std::vector<pid_t>& pids, const CancelToken& cancel) {
  ask_each("unlock", pids, Json::object(), question_limit, cancel);
}

void GpuController::require_running(const std::vector<pid_t>& pids, const CancelToken& cancel) {
  for (const pid_t pid : pids)
    if (const GpuState now = state(pid, cancel); now != GpuState::running)
      throw Error(fmt::format("the GPU state of {} (pid {}) is {} instead of running",
                              status_field(pid, "Name"), pid, to_text(now)));
}

std::vector<PutBack> GpuController::recover(const CancelToken& cancel) {
  const Json answer = ask({{"recover", 0, Json::object()}}, call_limit, cancel).front();
  std::vector<PutBack> told;
  for (const Json& one : answer.at("value")) told.push_back(put_back_from_json(one));
  return told;
}

std::vector<PutBack> GpuController::finish() {
  const CancelToken never;
  std::vector<PutBack> told;
  try {
    const Json answer = ask({{"finish", 0, Json::object()}}, finish_limit, never).front();
    for (const Json& one : answer.at("value")) told.push_back(put_back_from_json(one));
    socket_.reset();
    if (process_.wait_for(finish_limit)) return told;
    process_.release();
  } catch (const Error& e) {
    socket_.reset();
    if (!process_.wait_for(finish_limit)) {
      process_.release();
      throw;
    }
    // It was killed: another one does what it left undone.
    log::debug("{}", e.message());
    return recover_gpu(store_root_, never);
  }
  return told;
}

std::vector<PutBack> recover_gpu(const fs::path& store_root, const CancelToken& cancel) {
  if (GpuJournal::orphans(store_root).empty()) return {};  // the locks are free again here
  GpuController controller(store_root);
  return controller.recover(cancel);
}

}  // namespace coldstart
