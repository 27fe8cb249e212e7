// SPDX-License-Identifier: Apache-2.0
#pragma once
// Weights from where they are kept straight into device memory.
//
// A GPU reads host memory at full speed only where it is pinned, and pinning costs more than the copy: so
// there is a ring of a few buffers that are pinned once. Readers fill them, each with one piece, verified
// before it goes on; copies run on two streams; a buffer comes round again when its copy is done.
//
//   pieces ─► readers (threads) ─► ring of pinned buffers ─► stream 1, stream 2 ─► device memory
//               │ read and verify       ▲                          │ event
//               └───────────────────────┴──── used again ◄─────────┘

#include <cstdint>
#include <functional>
#include <span>

#include "core/base/bytes.h"
#include "core/base/cancel.h"
#include "core/gpu/device.h"

namespace coldstart {

/// Bytes that are to be in one place on the device.
struct RefillPiece {
  cuda::DevicePtr target = 0;
  size_t bytes = 0;  ///< no more than a buffer
  /// Fills all of `into`, or throws: it must have verified them. Called by any of the readers, once.
  std::function<void(MutableByteSpan into)> read;
};

struct RefillOptions {
  size_t buffer_bytes = size_t{4} << 20;
  unsigned buffers = 8;
  unsigned readers = 4;  ///< a core reads and checks some 5 GB/s, and a GPU takes ten times as much
  unsigned streams = 2;
  /// Every byte is read back from the device and compared: for tests, and for who doubts the GPU.
  bool read_back = false;
};

struct RefillResult {
  uint64_t bytes = 0;
  double seconds = 0;  ///< without the pinning
};

/// Returns once all of it is on the device. Throws what the first reader threw, Error::corrupt if read_back
/// finds a difference, or when cancelled; what was on the device there is then undefined.
RefillResult refill(const CudaDevice& device, std::span<const RefillPiece> pieces,
                    const RefillOptions& options, const CancelToken& cancel);

/// Reads the pieces and compares them with what is on the device, which stays as it is. Calls `differs` with
/// the number of each that is not the same, from any of the readers, one at a time.
RefillResult compare(const CudaDevice& device, std::span<const RefillPiece> pieces,
                     const RefillOptions& options, const CancelToken& cancel,
                     const std::function<void(size_t piece)>& differs);

}  // namespace coldstart
