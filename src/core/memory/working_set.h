// SPDX-License-Identifier: Apache-2.0
#pragma once
// The working set of a snapshot: the pages that a restored replica touches before it is ready, in the order
// in which it does. The first restore records it: nothing is pushed then, so that every page that is touched
// is asked for. Later restores bring these pages first.
//
// It is a hint, so it lies beside the store's content, in STORE/working-sets/HEX with the snapshot's digest,
// and whatever is wrong with it costs time only.

#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "core/memory/page_source.h"
#include "core/store/store.h"

namespace coldstart {

/// A plain value.
struct WorkingSet {
  std::vector<PageRange> ranges;  ///< in the order of their use

  uint64_t bytes() const;
  Bytes pack() const;
  /// Throws Error::corrupt naming `document`.
  static WorkingSet parse(ByteSpan bytes, const std::string& document);
};

/// Where it is kept.
std::filesystem::path working_set_file(const std::filesystem::path& store_root, const Digest& snapshot);
/// Nothing if none was recorded; a damaged one is logged and not there.
std::optional<WorkingSet> read_working_set(const std::filesystem::path& store_root, const Digest& snapshot);
/// Replaces the one that was there; forgets those of snapshots that are gone.
void write_working_set(Store& store, const Digest& snapshot, const WorkingSet& set);

/// What is asked for while nothing is pushed. Thread-safe.
class WorkingSetLog {
 public:
  void add(uint32_t pid, uint64_t address, uint64_t bytes);
  WorkingSet so_far() const;

 private:
  mutable std::mutex mutex_;  // guards set_
  WorkingSet set_;
};

/// The same pages; what is read of them is noted in `log`.
std::unique_ptr<SnapshotPages> record_reads(std::unique_ptr<SnapshotPages> pages,
                                            std::shared_ptr<WorkingSetLog> log);

}  // namespace coldstart
