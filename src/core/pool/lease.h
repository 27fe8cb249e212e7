// SPDX-License-Identifier: Apache-2.0
#pragma once
// Leases: who has which replica, kept on disk so that a service that was killed has a successor who knows.
//
//   STORE/pools/NAME/leases/ID.json    one a claimed replica; written before it runs, removed once it is gone
//
// What is written must survive the service, not the host: without the host there is no replica either. So
// nothing is synced.

#include <filesystem>
#include <vector>

#include "core/base/fd.h"
#include "core/base/json.h"
#include "core/pool/slot.h"

namespace coldstart {

/// What becomes of a replica when its lease ends.
enum class LeaseEnd {
  end,       ///< it ends, and a new one takes its place
  give_back  ///< it is frozen and claimed again, with whatever it remembers
};

struct Lease {
  SlotIdentity slot;
  /// The process it is held by; 0: it is held until it is released.
  pid_t holder = 0;
  uint64_t holder_started = 0;
  LeaseEnd at_end = LeaseEnd::end;

  OrderedJson to_json() const;
  static Lease from_json(const Json& json, const std::string& document);
};

const char* to_text(LeaseEnd end);

/// One service at a time.
class Journal {
 public:
  explicit Journal(std::filesystem::path folder);
  void write(const Lease& lease);
  void remove(const std::string& id) noexcept;
  /// Those of an earlier service. What cannot be read is reported and removed.
  std::vector<Lease> read() const;

 private:
  const std::filesystem::path folder_;
};

/// A pidfd of the process if it is still the one that had that start time; 0: whoever has the pid now. None
/// if it is gone.
Fd holder_fd(pid_t pid, uint64_t started);

}  // namespace coldstart
