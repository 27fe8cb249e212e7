// SPDX-License-Identifier: Apache-2.0
#pragma once
// A slot: one replica that a pool holds. The pool's only door to what really runs, so that its decisions can
// be tested without.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <sys/types.h>

#include "core/base/cancel.h"

namespace coldstart {

/// What names a replica, also to a later service.
struct SlotIdentity {
  std::string id;
  pid_t pid = 0;  ///< of the main process; 0: it has not been started
  uint64_t pid_started = 0;
  std::vector<std::string> ports;  ///< published, "ADDRESS:PORT:PORT_INSIDE"
};

/// One thread at a time; the pool sees to that. What throws, throws Error; the slot is then to be destroyed.
class Slot {
 public:
  /// Ends the replica, whoever uses it, and returns when nothing of it is left; unless let_go() was called.
  virtual ~Slot() = default;

  virtual SlotIdentity identity() const = 0;
  /// Makes it: returns when it is ready and checked, and holds still. Takes as long as a restore.
  virtual void make(const CancelToken& cancel) = 0;
  /// Lets it run for a moment, asks whether it is well, and makes it hold still again.
  virtual void check(const CancelToken& cancel) = 0;
  /// It runs from now on, and goes on should we end.
  virtual void claim(const CancelToken& cancel) = 0;
  /// True if claim() takes no longer than a few milliseconds.
  virtual bool claims_at_once() const = 0;
  /// A claimed one holds still again, if it is well.
  virtual void take_back(const CancelToken& cancel) = 0;
  /// It goes on without us.
  virtual void let_go() = 0;
  /// Readable when has_ended() should be asked: for poll(2).
  virtual int event_fd() const = 0;
  /// Without waiting.
  virtual bool has_ended() = 0;
};

/// Gives a slot that is still to be made. Called by the thread that then calls make().
using SlotMaker = std::function<std::unique_ptr<Slot>()>;
/// A slot that an earlier service has given away, or nothing if that replica is gone.
using SlotFinder = std::function<std::unique_ptr<Slot>(const SlotIdentity&)>;

}  // namespace coldstart
