// SPDX-License-Identifier: Apache-2.0
#pragma once
// Slots that are replicas of this host.

#include <chrono>
#include <functional>
#include <optional>
#include <string>

#include "core/pool/slot.h"
#include "core/sandbox/front.h"

namespace coldstart {

/// How idle slots wait.
enum class SlotLevel {
  frozen,   ///< restored and ready, but frozen: costs only its private memory
  prepared  ///< "slot": all but the processes is there, which come at the claim
};
const char* to_text(SlotLevel level);
SlotLevel slot_level(std::string_view word);  ///< throws Error::usage

struct ReplicaSlotOptions {
  SlotLevel level = SlotLevel::frozen;
  std::string health_command;  ///< for `sh -c` inside; empty: none
  std::chrono::milliseconds health_timeout = std::chrono::seconds(10);
  /// Throws if what it runs on, or would, is not well: asked before it is made, checked and taken back; and
  /// before it is claimed, but then to answer `at_once`, from what is known.
  std::function<void(const ReplicaSpec&, bool at_once)> host_check = [](const ReplicaSpec&, bool) {};
};

/// A slot made of what `spec` says.
std::unique_ptr<Slot> make_replica_slot(Replicas& replicas, ReplicaSpec spec,
                                        const ReplicaSlotOptions& options);

/// One that an earlier service gave away: it can be ended or let go, but not be used again. Nothing if it
/// does not run any more.
std::unique_ptr<Slot> adopt_replica_slot(const Replicas& replicas, const SlotIdentity& identity);

}  // namespace coldstart
