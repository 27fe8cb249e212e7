// SPDX-License-Identifier: Apache-2.0
// How fast a file goes into device memory, each byte verified, against a plain copy of pinned memory of the
// same size: refill-speed FILE [READERS]. For tests/gpu/run.sh.
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include "core/base/fd.h"
#include "core/base/files.h"
#include "core/gpu/refill.h"
#include "core/store/digest.h"

using namespace coldstart;

namespace {

using Clock = std::chrono::steady_clock;

/// GB/s of pinned memory to the device.
double pinned_speed(const CudaDevice& device, cuda::DevicePtr to, size_t bytes) {
  constexpr int rounds = 8;
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

int measure(const char* path, unsigned readers) {
  const FileMapping file{std::filesystem::path(path)};
  RefillOptions options;
  options.readers = readers;
  options.buffers = 2 * readers;
  options.buffer_bytes = std::min(options.buffer_bytes, file.bytes().size());
  std::vector<Digest> digests;  // as a store knows them
  for (size_t at = 0; at < file.bytes().size(); at += options.buffer_bytes)
    digests.push_back(
        Digest::of(file.bytes().subspan(at, std::min(options.buffer_bytes, file.bytes().size() - at))));

  CudaDriver driver;
  driver.init();
  const CudaDevice device(driver, 0);
  const DeviceBuffer memory(device, file.bytes().size());
  const Fd fd = open_file(path, O_RDONLY);
  std::vector<RefillPiece> pieces;
  for (size_t i = 0; i < digests.size(); ++i) {
    const size_t at = i * options.buffer_bytes;
    pieces.push_back({memory.at() + at, std::min(options.buffer_bytes, file.bytes().size() - at),
                      [&, i, at](MutableByteSpan into) {
                        pread_full(fd.get(), into, static_cast<off_t>(at));
                        if (Digest::of(into) != digests[i])
                          throw Error::corrupt("a piece of the file changed");
                      }});
  }
  const CancelToken cancel;
  const double limit = pinned_speed(device, memory.at(), options.buffer_bytes);
  const RefillResult result = refill(device, pieces, options, cancel);
  const double speed = static_cast<double>(result.bytes) / result.seconds / 1e9;
  std::puts(fmt::format("| {:.1f} GB | {} | {:.1f} GB/s | {:.1f} GB/s | {:.0f} % |",
                        static_cast<double>(result.bytes) / 1e9, readers, speed, limit, 100 * speed / limit)
                .c_str());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return argc < 2 ? 2 : measure(argv[1], argc > 2 ? static_cast<unsigned>(std::atoi(argv[2])) : 4);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "refill-speed: %s\n", e.what());
    return 1;
  }
}
