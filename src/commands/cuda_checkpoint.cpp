// SPDX-License-Identifier: Apache-2.0
#include "commands/cuda_checkpoint.h"

#include <charconv>
#include <filesystem>
#include <ostream>

#include <fmt/format.h>
#include <getopt.h>

#include "core/gpu/cuda_driver.h"

namespace coldstart {

namespace {

// CRIU's plugin looks for "--action" in it, in no more than 2047 bytes.
constexpr const char* usage =
    R"(CUDA checkpoint and restore utility, as part of coldstart )" COLDSTART_VERSION R"(.

Operations:
--get-state --pid <pid>
        Prints the checkpoint state of the process: running, locked, checkpointed or failed

--action lock | checkpoint | restore | unlock --pid <pid> [--timeout <ms>] [--device-map <uuids>]
        Does that with the process. Lock waits up to <ms> milliseconds for work on the GPU to end.
        Restore can move to other GPUs: oldUuid=newUuid,oldUuid=newUuid,...

--toggle --pid <pid>
        Toggles the process between running and checkpointed

--get-restore-tid --pid <pid>
        Prints the thread ID of the CUDA restore thread of the process

Options:
--pid|-p <pid>
        The process

--timeout|-t <ms>
        Time limit for the lock action in milliseconds

--device-map|-d <uuids>
        Device map for the restore action

--help|-h
        Prints this
)";

/// What the original says, in its words; becomes the exit status 1.
struct Failure {
  std::string text;
};

struct Request {
  enum class Operation { none, help, state, action, toggle, restore_tid };
  Operation operation = Operation::none;
  std::string action;
  pid_t pid = 0;
  uint32_t timeout = 0;
  bool has_timeout = false;
  std::string device_map;
};

template <class T>
T number(const char* option, std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || text.empty() || value < T{})
    throw Failure{fmt::format("Invalid value for {}: {}", option, text)};
  return value;
}

void choose(Request& request, Request::Operation operation) {
  if (request.operation != Request::Operation::none && request.operation != operation)
    throw Failure{"Only one operation can be specified"};
  request.operation = operation;
}

void take_option(Request& request, int option, const char* value) {
  using Operation = Request::Operation;
  switch (option) {
    case 's':
      return choose(request, Operation::state);
    case 'a':
      request.action = value;
      return choose(request, Operation::action);
    case 'T':
      return choose(request, Operation::toggle);
    case 'r':
      return choose(request, Operation::restore_tid);
    case 'p':
      request.pid = number<pid_t>("--pid", value);
      return;
    case 't':
      request.timeout = number<uint32_t>("--timeout", value);
      request.has_timeout = true;
      return;
    case 'd':
      request.device_map = value;
      return;
    case 'h':
      request.operation = Operation::help;
      return;
    default:
      throw Failure{"Unknown option, or a value is missing; see --help"};
  }
}

void check(const Request& request) {
  using Operation = Request::Operation;
  if (request.operation == Operation::help) return;
  if (request.operation == Operation::none) throw Failure{"No operation specified; see --help"};
  if (request.pid <= 0) throw Failure{"A process ID must be specified with --pid"};
  if (request.operation == Operation::action && request.action != "lock" && request.action != "checkpoint" &&
      request.action != "restore" && request.action != "unlock")
    throw Failure{fmt::format("Invalid action: {}", request.action)};
  if (request.has_timeout && request.action != "lock")
    throw Failure{"The timeout option is only allowed for the lock action"};
  if (!request.device_map.empty() && request.action != "restore")
    throw Failure{"The device-map option is only allowed for the restore action"};
}

Request parse(std::vector<std::string>& words) {
  const option known[] = {{"get-state", no_argument, nullptr, 's'},
                          {"action", required_argument, nullptr, 'a'},
                          {"toggle", no_argument, nullptr, 'T'},
                          {"get-restore-tid", no_argument, nullptr, 'r'},
                          {"pid", required_argument, nullptr, 'p'},
                          {"timeout", required_argument, nullptr, 't'},
                          {"device-map", required_argument, nullptr, 'd'},
                          {"help", no_argument, nullptr, 'h'},
                          {nullptr, 0, nullptr, 0}};
  std::vector<char*> argv{const_cast<char*>("cuda-checkpoint")};
  for (std::string& word : words) argv.push_back(word.data());
  const auto count = static_cast<int>(argv.size());
  argv.push_back(nullptr);
  ::optind = 0;  // glibc: start anew
  ::opterr = 0;
  Request request;
  for (int c; (c = ::getopt_long(count, argv.data(), "p:t:d:h", known, nullptr)) != -1;)
    take_option(request, c, ::optarg);
  if (::optind != count)
    throw Failure{fmt::format("Unexpected argument: {}", argv[static_cast<size_t>(::optind)])};
  check(request);
  return request;
}

/// Runs a step of the driver; `format` has room for the process and the driver's text.
template <class Step>
void step(const char* format, pid_t pid, Step run) {
  try {
    run();
  } catch (const CudaError& e) {
    throw Failure{fmt::format(fmt::runtime(format), pid, e.text())};
  }
}

void act(const CudaDriver& driver, const Request& request) {
  const std::string format = "Could not " + request.action + " on process ID {}: \"{}\"";
  step(format.c_str(), request.pid, [&] {
    if (request.action == "lock") driver.lock(request.pid, std::chrono::milliseconds(request.timeout));
    if (request.action == "checkpoint") driver.checkpoint(request.pid);
    if (request.action == "restore") driver.restore(request.pid, parse_gpu_map(request.device_map));
    if (request.action == "unlock") driver.unlock(request.pid);
  });
}

void toggle(const CudaDriver& driver, pid_t pid) {
  step("Error toggling CUDA in process ID {}: \"{}\"", pid, [&] {
    if (driver.state(pid) == GpuState::checkpointed) {
      driver.restore(pid, {});
      driver.unlock(pid);
      return;
    }
    driver.lock(pid, std::chrono::milliseconds(0));
    try {
      driver.checkpoint(pid);
    } catch (const CudaError&) {
      // Unlike the original: a process that cannot be checkpointed is not left locked.
      if (driver.state(pid) == GpuState::locked) driver.unlock(pid);
      throw;
    }
  });
}

void run(const Request& request, std::ostream& out) {
  using Operation = Request::Operation;
  if (request.operation == Operation::help) {
    out << usage;
    return;
  }
  CudaDriver driver;
  driver.require_checkpoints();
  try {
    driver.init();
  } catch (const CudaError& e) {
    throw Failure{fmt::format("Error initializing CUDA: \"{}\"", e.text())};
  }
  if (request.operation == Operation::state) {
    step("Could not get the state of process ID {}: \"{}\"", request.pid,
         [&] { out << to_text(driver.state(request.pid)) << '\n'; });
  } else if (request.operation == Operation::restore_tid) {
    const auto thread = driver.restore_thread(request.pid);
    if (!thread) throw Failure{fmt::format("Could not find restore thread for process ID {}", request.pid)};
    out << *thread << '\n';
  } else if (request.operation == Operation::toggle) {
    toggle(driver, request.pid);
  } else {
    act(driver, request);
  }
}

}  // namespace

bool is_cuda_checkpoint(const std::string& name) {
  return std::filesystem::path(name).filename() == "cuda-checkpoint";
}

int run_cuda_checkpoint(std::vector<std::string> arguments, std::ostream& out, std::ostream& err) {
  try {
    run(parse(arguments), out);
    out.flush();
    return 0;
  } catch (const Failure& failure) {
    err << failure.text << '\n';
  } catch (const Error& e) {
    err << e.message() << (e.hint().empty() ? "" : ": ") << e.hint() << '\n';
  }
  return 1;
}

}  // namespace coldstart
