// SPDX-License-Identifier: Apache-2.0
#include "core/gpu/refill.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include <fmt/format.h>

#include "core/base/error.h"

namespace coldstart {

namespace {

using Clock = std::chrono::steady_clock;

/// A pinned buffer, and the event that tells when its last copy is done.
class Buffer {
 public:
  Buffer(const CudaDevice& device, size_t bytes)
      : device_(device), bytes_(bytes), at_(device.allocate_pinned(bytes)), done_(device) {}
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() { device_.release_pinned(at_); }

  MutableByteSpan bytes(size_t n) { return {static_cast<std::byte*>(at_), std::min(n, bytes_)}; }
  void wait_copied() const {
    if (in_use_) device_.wait_event(done_.get());
  }
  void copy_to(cuda::DevicePtr target, size_t n, cuda::Stream stream) {
    device_.copy_in(target, at_, n, stream);
    device_.record(done_.get(), stream);
    in_use_ = true;
  }

 private:
  const CudaDevice& device_;
  const size_t bytes_;
  void* const at_;
  const DeviceEvent done_;
  bool in_use_ = false;
};

/// Buffers in the order in which their copies were started, so that the one that is taken is done first.
class Ring {
 public:
  Ring(const CudaDevice& device, unsigned count, size_t bytes) {
    for (unsigned i = 0; i < count; ++i) free_.push_back(std::make_unique<Buffer>(device, bytes));
  }
  std::unique_ptr<Buffer> take() {
    std::unique_lock lock(mutex_);
    returned_.wait(lock, [this] { return !free_.empty(); });
    auto buffer = std::move(free_.front());
    free_.pop_front();
    return buffer;
  }
  void give(std::unique_ptr<Buffer> buffer) {
    const std::lock_guard lock(mutex_);
    free_.push_back(std::move(buffer));
    returned_.notify_one();
  }

 private:
  std::mutex mutex_;  // guards free_
  std::condition_variable returned_;
  std::deque<std::unique_ptr<Buffer>> free_;
};

class Refill {
 public:
  Refill(const CudaDevice& device, std::span<const RefillPiece> pieces, const RefillOptions& options,
         const CancelToken& cancel, const std::function<void(size_t)>& differs = nullptr)
      : device_(device), pieces_(pieces), options_(options), cancel_(cancel), differs_(differs) {
    for (const RefillPiece& piece : pieces)
      if (piece.bytes > options.buffer_bytes)
        throw Error(fmt::format("a piece of {} bytes does not fit a buffer of {}", piece.bytes,
                                options.buffer_bytes));
    for (unsigned i = 0; i < options.streams; ++i) streams_.push_back(std::make_unique<DeviceStream>(device));
  }

  RefillResult run() {
    // More buffers than readers: while some are filled, others are copied.
    // Where it is compared, there is room in each for what comes back too.
    const size_t copies = differs_ || options_.read_back ? 2 : 1;
    Ring ring(device_, std::max(options_.buffers, options_.readers + 1), copies * options_.buffer_bytes);
    const auto began = Clock::now();
    {
      std::vector<std::jthread> readers;
      for (unsigned i = 0; i < options_.readers; ++i) readers.emplace_back([&] { read_all(ring); });
    }
    for (const auto& stream : streams_) device_.wait_stream(stream->get());
    if (failure_) std::rethrow_exception(failure_);
    RefillResult result;
    for (const RefillPiece& piece : pieces_) result.bytes += piece.bytes;
    result.seconds = std::chrono::duration<double>(Clock::now() - began).count();
    return result;
  }

 private:
  void read_all(Ring& ring) {
    try {
      device_.enter();
      for (size_t i; (i = next_++) < pieces_.size() && !failed_;) {
        cancel_.check();
        move_one(ring, i);
      }
    } catch (...) {
      const std::lock_guard lock(failure_mutex_);
      if (!failure_) failure_ = std::current_exception();
      failed_ = true;
    }
  }

  void move_one(Ring& ring, size_t i) {
    const RefillPiece& piece = pieces_[i];
    std::unique_ptr<Buffer> buffer = ring.take();
    try {
      buffer->wait_copied();
      piece.read(buffer->bytes(piece.bytes));
      const cuda::Stream stream = streams_[i % streams_.size()]->get();
      if (!differs_) buffer->copy_to(piece.target, piece.bytes, stream);
      if (differs_) {
        if (!is_there(piece, *buffer, stream)) tell_differs(i);
      } else if (options_.read_back && !is_there(piece, *buffer, stream)) {
        throw Error::corrupt(fmt::format("{} bytes at {:#x} of the device are not as they were sent",
                                         piece.bytes, piece.target),
                             "the GPU or the way to it is faulty: see 'coldstart doctor'");
      }
    } catch (...) {
      ring.give(std::move(buffer));
      throw;
    }
    ring.give(std::move(buffer));
  }

  /// Whether the device has what the first half of the buffer has.
  bool is_there(const RefillPiece& piece, Buffer& buffer, cuda::Stream stream) const {
    const MutableByteSpan both = buffer.bytes(2 * options_.buffer_bytes);
    std::byte* there = both.data() + options_.buffer_bytes;
    device_.copy_out(there, piece.target, piece.bytes, stream);
    device_.wait_stream(stream);
    return std::memcmp(there, both.data(), piece.bytes) == 0;
  }

  void tell_differs(size_t i) {
    const std::lock_guard lock(differs_mutex_);
    differs_(i);
  }

  const CudaDevice& device_;
  const std::span<const RefillPiece> pieces_;
  const RefillOptions& options_;
  const CancelToken& cancel_;
  const std::function<void(size_t)> differs_;  // none: they are copied
  std::mutex differs_mutex_;                   // of calls of it
  std::vector<std::unique_ptr<DeviceStream>> streams_;
  std::atomic<size_t> next_{0};
  std::atomic<bool> failed_{false};
  std::mutex failure_mutex_;  // guards failure_ while readers run
  std::exception_ptr failure_;
};

}  // namespace

RefillResult refill(const CudaDevice& device, std::span<const RefillPiece> pieces,
                    const RefillOptions& options, const CancelToken& cancel) {
  return Refill(device, pieces, options, cancel).run();
}

RefillResult compare(const CudaDevice& device, std::span<const RefillPiece> pieces,
                     const RefillOptions& options, const CancelToken& cancel,
                     const std::function<void(size_t)>& differs) {
  return Refill(device, pieces, options, cancel, differs).run();
}

}  // namespace coldstart
