// SPDX-License-Identifier: Apache-2.0
// The controller's own process.
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <map>
#include <mutex>
#include <thread>

#include <fmt/format.h>
#include <sys/socket.h>

#include "core/base/log.h"
#include "core/gpu/controller.h"

namespace coldstart {

namespace fs = std::filesystem;

namespace {

constexpr size_t packet_limit = 65536;
const char* const document = "a request to the GPU controller";

/// Nothing but SIGKILL ends it before it is done.
void ignore_signals() {
  for (const int signal : {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGPIPE, SIGUSR1, SIGUSR2, SIGALRM})
    std::signal(signal, SIG_IGN);
}

class Server {
 public:
  Server(int socket, fs::path store_root) : socket_(socket), store_root_(std::move(store_root)) {}

  void serve() {
    initialise();
    while (const std::optional<Json> request = receive()) handle(*request);
    calls_.clear();  // waits for what is being done
    if (journal_) put_back_ours();
  }

 private:
  /// What fails here is told to whoever asks for something.
  void initialise() {
    try {
      driver_.emplace();
      driver_->require_checkpoints();
      driver_->init();
    } catch (const CudaError& e) {
      no_device_ = e.result() == cuda::error_no_device;
      no_driver_ = e;
    } catch (const Error& e) {
      no_driver_ = e;
    }
  }

  std::optional<Json> receive() {
    for (;;) {
      Bytes packet(packet_limit);
      const ssize_t size = ::recv(socket_, packet.data(), packet.size(), 0);
      if (size < 0 && errno == EINTR) continue;
      if (size <= 0) return std::nullopt;
      return parse_json(as_text(ByteSpan(packet).first(static_cast<size_t>(size))), document);
    }
  }

  /// Each process has a thread while something is done with it, so that one that hangs holds up no other.
  void handle(const Json& request) {
    const auto op = field<std::string>(request, "op", document);
    if (op == "recover" || op == "finish") {
      calls_.clear();
      answer(request, op);
      return;
    }
    const auto pid = field<pid_t>(request, "pid", document);
    calls_.erase(pid);  // joins the one before
    calls_.emplace(pid, std::jthread([this, request, op] { answer(request, op); }));
  }

  void answer(const Json& request, const std::string& op) {
    Json reply = {{"id", field<uint64_t>(request, "id", document)}};
    try {
      reply["value"] = perform(request, op);
    } catch (const Error& e) {
      reply["error"] = Json(to_json(e));
    } catch (const std::exception& e) {
      reply["error"] = Json(to_json(Error(e.what())));
    }
    const std::string text = reply.dump(-1, ' ', false, Json::error_handler_t::replace);
    const std::lock_guard lock(socket_mutex_);
    if (::send(socket_, text.data(), text.size(), MSG_NOSIGNAL) < 0)
      log::debug("the owner of the GPU controller is gone");
  }

  Json perform(const Json& request, const std::string& op) {
    if (op == "finish") return list(journal_ ? put_back_ours() : std::vector<PutBack>());
    if (no_device_ && op == "restore_thread") return nullptr;  // where there is no GPU nobody uses one
    if (no_driver_) throw *no_driver_;
    if (op == "recover") return recover();
    const auto pid = field<pid_t>(request, "pid", document);
    if (op == "state") return to_text(driver_->state(pid));
    if (op == "restore_thread") {
      const auto thread = driver_->restore_thread(pid);
      return thread ? Json(*thread) : Json(nullptr);
    }
    transition(request, op, pid);
    return nullptr;
  }

  void transition(const Json& request, const std::string& op, pid_t pid) {
    const uint64_t started = start_time_of(pid);
    if (started == 0) throw Error(fmt::format("cannot {} process {}: it is gone", op, pid));
    GpuJournal& journal = our_journal();
    if (op == "lock") {
      const auto timeout = field<int64_t>(request, "timeout_ms", document);
      journal.note(op, pid, started);
      driver_->lock(pid, std::chrono::milliseconds(timeout));
    } else if (op == "checkpoint") {
      journal.note(op, pid, started);
      driver_->checkpoint(pid);
    } else if (op == "restore") {
      const GpuMap map = parse_gpu_map(field<std::string>(request, "map", document));
      journal.note(op, pid, started);
      try {
        driver_->restore(pid, map);
      } catch (const Error&) {
        journal.note("failed", pid, started);
        throw;
      }
    } else if (op == "unlock") {
      journal.note(op, pid, started);
      driver_->unlock(pid);
    } else {
      throw Error::corrupt(fmt::format("{}: no such operation '{}'", document, op));
    }
  }

  GpuJournal& our_journal() {
    const std::lock_guard lock(journal_mutex_);
    if (!journal_) journal_.emplace(GpuJournal::create(store_root_));
    return *journal_;
  }

  /// Only when no call is in progress.
  std::vector<PutBack> put_back_ours() {
    std::vector<PutBack> told = put_back(*driver_, *journal_);
    journal_.reset();
    return told;
  }

  Json recover() {
    std::vector<PutBack> told;
    for (GpuJournal& journal : GpuJournal::orphans(store_root_)) {
      std::vector<PutBack> more = put_back(*driver_, journal);
      told.insert(told.end(), more.begin(), more.end());
    }
    return list(told);
  }

  static Json list(const std::vector<PutBack>& told) {
    Json all = Json::array();
    for (const PutBack& one : told) all.push_back(Json(to_json(one)));
    return all;
  }

  const int socket_;
  const fs::path store_root_;
  std::optional<CudaDriver> driver_;
  std::optional<Error> no_driver_;
  bool no_device_ = false;
  std::mutex socket_mutex_;   // guards sending
  std::mutex journal_mutex_;  // guards making journal_
  std::optional<GpuJournal> journal_;
  std::map<pid_t, std::jthread> calls_;  // of the main thread
};

}  // namespace

void serve_gpu(int socket, const fs::path& store_root) {
  ignore_signals();
  // What our caller may see has been decided on; the processes are not restricted by it, and nor is a search
  // for those that use a GPU.
  ::unsetenv("CUDA_VISIBLE_DEVICES");
  Server(socket, store_root).serve();
}

}  // namespace coldstart
