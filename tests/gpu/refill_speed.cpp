// SPDX-License-Identifier: Apache-2.0
// How fast a file of an image goes from the store into device memory, each byte verified, against a plain
// copy of pinned memory: refill-speed STORE IMAGE FILE READERS... For tests/gpu/run.sh.
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include <fmt/format.h>

#include "core/gpu/refill.h"
#include "core/pipeline/weights_files.h"

using namespace coldstart;

namespace {

using Clock = std::chrono::steady_clock;

/// GB/s of pinned memory to the device.
double pinned_speed(const CudaDevice& device, cuda::DevicePtr to, size_t bytes) {
  constexpr int rounds = 32;
  void* from = device.allocate_pinned(bytes);
  const DeviceStream stream(device);
  device.copy_in(to, from, bytes, stream.get());
  device.wait_stream(stream.get());
  const auto began = Clock::now();
  for (int i = 0; i < rounds; ++i) device.copy_in(to, from, bytes, stream.get());
  device.wait_stream(stream.get());
  const double seconds = std::chrono::duration<double>(Clock::now() - began).count();
  device.release_pinned(from);
  return rounds * static_cast<double>(bytes) / seconds / 1e9;
}

/// GB/s of one thread that reads the file from the store, each byte verified, into the same buffer.
double read_speed(Store& store, const WeightsFile& file, size_t buffer_bytes) {
  Bytes buffer(buffer_bytes);
  const auto began = Clock::now();
  for (uint64_t at = 0; at < file.bytes;) {
    const uint64_t n = std::min(whole_chunks(file, at, buffer.size()), file.bytes - at);
    read_weights(store, file, at, MutableByteSpan(buffer).first(n));
    at += n;
  }
  return static_cast<double>(file.bytes) / std::chrono::duration<double>(Clock::now() - began).count() / 1e9;
}

void measure(const char* label, Store& store, const WeightsFile& file, const CudaDevice& device,
             unsigned readers) {
  RefillOptions options;
  options.readers = readers;
  options.buffers = 2 * readers;
  const DeviceBuffer memory(device, file.bytes);
  std::vector<RefillPiece> pieces;
  for (uint64_t at = 0; at < file.bytes; at += pieces.back().bytes)
    pieces.push_back({memory.at() + at,
                      std::min(whole_chunks(file, at, options.buffer_bytes), file.bytes - at),
                      [&store, &file, at](MutableByteSpan into) { read_weights(store, file, at, into); }});
  const CancelToken cancel;
  const double limit = pinned_speed(device, memory.at(), std::min<uint64_t>(file.bytes, size_t{16} << 20));
  double speed = 0;  // the best of three: the first finds some of the packs not open
  for (int i = 0; i < 3; ++i) {
    const RefillResult result = refill(device, pieces, options, cancel);
    speed = std::max(speed, static_cast<double>(result.bytes) / result.seconds / 1e9);
  }
  std::puts(fmt::format("| {} | {} | {:.1f} GB/s | {:.1f} GB/s | {:.0f} % |", label, readers, speed, limit,
                        100 * speed / limit)
                .c_str());
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 6) return 2;
  try {
    const auto store = Store::open(argv[2]);
    const auto file = image_weights(store, store->resolve(RefKind::image, argv[3]).digest, argv[4]);
    if (!file) throw Error::not_found(fmt::format("the image has no file {}", argv[4]));
    CudaDriver driver;
    driver.init();
    const CudaDevice device(driver, 0);
    const size_t buffer = RefillOptions().buffer_bytes;
    read_speed(*store, *file, buffer);  // finds the packs not open
    std::puts(
        fmt::format("| {} | 1, into memory | {:.1f} GB/s | | |", argv[1], read_speed(*store, *file, buffer))
            .c_str());
    for (int i = 5; i < argc; ++i)
      measure(argv[1], *store, *file, device, static_cast<unsigned>(std::atoi(argv[i])));
    return 0;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "refill-speed: %s\n", e.what());
    return 1;
  }
}
