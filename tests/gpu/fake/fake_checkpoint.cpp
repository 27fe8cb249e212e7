// SPDX-License-Identifier: Apache-2.0
#include "fake_checkpoint.h"

#include <algorithm>
#include <climits>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <string>

#include <dirent.h>
#include <linux/futex.h>
#include <unistd.h>

#include "fake_faults.h"
#include "fake_gpu.h"

namespace fake {

namespace {

const char* const state_names[] = {"running", "locked", "checkpointed", "failed"};
const char* const op_names[] = {"lock", "checkpoint", "restore", "unlock"};

/// What happens instead of the call, if anything.
bool instead(const Fault& fault, pid_t pid, const CUcheckpointLockArgs* lock, CUresult& result) {
  if (fault.action == "delay") ::usleep(static_cast<useconds_t>(fault.argument) * 1000);
  if (fault.action == "hang") hang();
  if (fault.action == "kill-caller") ::raise(SIGKILL);
  if (fault.action == "kill-parent") ::kill(::getppid(), SIGKILL);
  if (fault.action == "kill-both") {
    ::kill(::getppid(), SIGKILL);
    ::raise(SIGKILL);
  }
  if (fault.action == "fail") {
    result = static_cast<CUresult>(fault.argument);
    return true;
  }
  if (fault.action == "break") {  // an error that the process does not survive
    if (const PageOf page(pid); page.get() != nullptr) page->state = failed;
    result = unknown;
    return true;
  }
  if (fault.action == "busy") {
    if (lock == nullptr || lock->timeoutMs == 0) hang();
    ::usleep(lock->timeoutMs * 1000);
    result = not_ready;
    return true;
  }
  if (fault.action == "oom") {
    if (const PageOf page(pid); page.get() != nullptr) page->poisoned = 1;
    result = out_of_memory;
    return true;
  }
  if (fault.action == "kill-target") {
    ::kill(pid, SIGKILL);
    result = os;
    return true;
  }
  return false;
}

/// Has the process's own thread do it; a process that dies meanwhile is an error.
CUresult ask(Page& page, pid_t pid, uint32_t operation) {
  page.operation = operation;
  const uint32_t request = page.done + 1;
  page.request = request;
  futex(page.request, FUTEX_WAKE, INT_MAX, UINT_MAX);
  while (page.done != request) {
    futex(page.done, FUTEX_WAIT, request - 1, 20);
    if (page.done != request && ::kill(pid, 0) != 0) return os;
  }
  return page.result;
}

CUresult transition(uint32_t operation, pid_t pid, const CUcheckpointLockArgs* lock,
                    const CUcheckpointRestoreArgs* restore) {
  static const uint32_t wanted[] = {running, locked, checkpointed, locked};
  if (!initialized) return not_initialized;
  const std::string name = op_names[operation];
  const Fault fault = fault_of(name);
  CUresult result = success;
  std::string before = "none";
  if (const PageOf page(pid); page.get() != nullptr) before = state_names[page->state];
  if (!instead(fault, pid, lock, result)) {
    const PageOf page(pid);
    if (page.get() == nullptr) {
      result = not_initialized;
    } else if (page->state != wanted[operation]) {
      result = illegal_state;
    } else {
      page->argument = lock != nullptr ? lock->timeoutMs : 0;
      page->pairs = restore != nullptr ? std::min(restore->gpuPairsCount, 16U) : 0;
      for (uint32_t i = 0; i < page->pairs; ++i) {
        std::memcpy(page->pair[i][0], restore->gpuPairs[i].oldUuid.bytes, 16);
        std::memcpy(page->pair[i][1], restore->gpuPairs[i].newUuid.bytes, 16);
      }
      result = ask(*page.get(), pid, operation);
    }
  }
  append_line("calls", name + " " + std::to_string(pid) + " " + before + " " + std::to_string(result) + "\n");
  if (fault.action == "kill-caller-after") ::raise(SIGKILL);
  if (fault.action == "kill-parent-after") ::kill(::getppid(), SIGKILL);
  if (fault.action == "kill-both-after") {
    ::kill(::getppid(), SIGKILL);
    ::raise(SIGKILL);
  }
  return result;
}

}  // namespace

CUresult process_lock(int pid, CUcheckpointLockArgs* args) {
  return transition(op_lock, pid, args, nullptr);
}
CUresult process_checkpoint(int pid, void*) {
  return transition(op_checkpoint, pid, nullptr, nullptr);
}
CUresult process_restore(int pid, CUcheckpointRestoreArgs* args) {
  return transition(op_restore, pid, nullptr, args);
}
CUresult process_unlock(int pid, void*) {
  return transition(op_unlock, pid, nullptr, nullptr);
}
CUresult process_state(int pid, int* state) {
  if (!initialized) return not_initialized;
  const Fault fault = fault_of("state");
  if (fault.action == "fail") return static_cast<CUresult>(fault.argument);
  const PageOf page(pid);
  if (page.get() == nullptr) return not_initialized;
  *state = static_cast<int>(page->state.load());
  return success;
}
CUresult process_restore_thread(int pid, int* tid) {
  if (!initialized) return not_initialized;
  const PageOf page(pid);
  if (page.get() == nullptr) return not_initialized;
  const std::string tasks = "/proc/" + std::to_string(pid) + "/task";
  DIR* dir = ::opendir(tasks.c_str());
  if (dir == nullptr) return invalid_value;
  CUresult result = invalid_value;
  while (const dirent* entry = ::readdir(dir)) {
    const pid_t candidate = std::atoi(entry->d_name);
    if (candidate > 0 && inner_pid(candidate) == page->restore_tid) {
      *tid = candidate;
      result = success;
    }
  }
  ::closedir(dir);
  return result;
}

}  // namespace fake
