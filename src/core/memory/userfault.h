// SPDX-License-Identifier: Apache-2.0
#pragma once
// One userfaultfd: the door to the memory of another process.

#include <vector>

#include <linux/userfaultfd.h>

#include "core/base/bytes.h"
#include "core/base/fd.h"

namespace coldstart {

/// Why a fill stopped.
enum class Fill {
  done,      ///< all of it is filled
  present,   ///< there is a page already, behind the bytes that are filled
  changing,  ///< the process changes its mappings: an event is to be read first
  unmapped,  ///< not one mapping that we serve, and nothing is being changed
  gone,      ///< the process has exited or runs another program
};

struct FillResult {
  Fill why;
  uint64_t bytes;  ///< filled before it stopped
};

/// Thread-safe, as the kernel is.
class Userfault {
 public:
  /// Takes over a non-blocking descriptor.
  explicit Userfault(Fd fd) : fd_(std::move(fd)) {}
  /// Reads what the kernel has to say; adds it to `messages`. Of UFFD_EVENT_FORK the new descriptor is owned
  /// by whoever reads the message.
  void read(std::vector<uffd_msg>& messages) const;
  /// Fills with bytes, wakes who waits for them. Throws if `from` cannot be read.
  FillResult copy(uint64_t to, ByteSpan from);
  /// Fills with zeros, wakes who waits for them.
  FillResult zero(uint64_t start, uint64_t size);
  /// Maps pages that are in the file behind a mapping registered with share(); wakes who waits for them.
  /// Throws if they are not there.
  FillResult map(uint64_t start, uint64_t size);
  /// From now on every page of this private mapping of a file in memory is ours to give, be it in the file
  /// or not.
  void share(uint64_t start, uint64_t size);
  /// This mapping is served no more: what is missing of it is zeros from now on.
  void leave(uint64_t start, uint64_t size);
  /// False once the process is gone or runs another program.
  bool memory_lives() const;
  /// Mappings are being changed: it will be told, and until that is read nothing is filled.
  bool changing() const;
  /// Whether a mapping that is served is there; true as well while mappings are being changed.
  bool serves(uint64_t address) const;
  /// Who waits for memory there tries again.
  void wake(uint64_t start, uint64_t size);
  int fd() const { return fd_.get(); }
  /// Ends the service: missing pages are zeros from now on.
  void close() { fd_.reset(); }

 private:
  Fd fd_;
};

}  // namespace coldstart
