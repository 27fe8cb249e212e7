// SPDX-License-Identifier: Apache-2.0
// Against the fake driver, whose streams copy in threads of their own.
#include "core/gpu/refill.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <numeric>

#include <doctest/doctest.h>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/gpu/health.h"

using namespace coldstart;

namespace {

struct Fake {
  TempDir folder;
  Fake() {
    ::setenv("COLDSTART_FAKE_GPU", folder.path().c_str(), 1);
    ::setenv("COLDSTART_LIBCUDA", FAKE_DRIVER "/libcuda.so.1", 1);
    ::setenv("COLDSTART_LIBNVML", FAKE_DRIVER "/libnvidia-ml.so.1", 1);
    put("gpus", "GPU-00000000-0000-0000-0000-000000000001 64 0 0 40 0 Fake H100\n");
  }
  ~Fake() {
    for (const char* name : {"COLDSTART_FAKE_GPU", "COLDSTART_LIBCUDA", "COLDSTART_LIBNVML"})
      ::unsetenv(name);
  }
  void put(const char* name, const std::string& text) { std::ofstream(folder.path() / name) << text; }
};

constexpr size_t piece_bytes = 4096;
constexpr size_t pieces = 200;

/// `pieces` pieces with the number of each in all its bytes; `before` is called by the reader of each.
std::vector<RefillPiece> numbered(
    cuda::DevicePtr at, const std::function<void(size_t)>& before = [](size_t) {}) {
  std::vector<RefillPiece> list;
  for (size_t i = 0; i < pieces; ++i)
    list.push_back({at + i * piece_bytes, piece_bytes - i % 3, [i, before](MutableByteSpan into) {
                      before(i);
                      std::memset(into.data(), static_cast<int>(i), into.size());
                    }});
  return list;
}

Exit outcome(const std::function<void()>& work) {
  try {
    work();
  } catch (const Error& e) {
    return e.exit();
  }
  return Exit::ok;
}

}  // namespace

TEST_CASE("all bytes arrive, whatever overtakes what") {
  Fake fake;
  fake.put("faults", "htod 3 delay 20\nhtod 50 delay 20\n");
  CudaDriver driver;
  driver.init();
  const CudaDevice device(driver, 0);
  const DeviceBuffer memory(device, pieces * piece_bytes);
  const CancelToken cancel;
  RefillOptions options;
  options.buffer_bytes = piece_bytes;
  options.buffers = 3;
  options.readers = 4;
  const auto list = numbered(memory.at());
  const RefillResult result = refill(device, list, options, cancel);
  CHECK(result.bytes == std::accumulate(list.begin(), list.end(), uint64_t{0},
                                        [](uint64_t sum, const RefillPiece& p) { return sum + p.bytes; }));
  size_t wrong = 0;
  for (size_t i = 0; i < pieces; ++i) {
    Bytes back(list[i].bytes);
    device.copy_out(back.data(), list[i].target, back.size(), nullptr);
    for (const std::byte b : back) wrong += b != static_cast<std::byte>(i) ? 1 : 0;
  }
  CHECK(wrong == 0);
}

TEST_CASE("what a reader or the driver throws ends it; a flipped bit is found; it can be cancelled") {
  Fake fake;
  CudaDriver driver;
  driver.init();
  const CudaDevice device(driver, 0);
  const DeviceBuffer memory(device, pieces * piece_bytes);
  CancelToken cancel;
  RefillOptions options;
  options.buffer_bytes = piece_bytes;
  CHECK(outcome([&] {
          refill(device,
                 numbered(memory.at(),
                          [](size_t i) {
                            if (i == 77) throw Error::corrupt("a wrong chunk");
                          }),
                 options, cancel);
        }) == Exit::corrupt);
  fake.put("faults", "htod 5 fail 999\n");
  std::filesystem::remove_all(fake.folder.path() / "count");
  CHECK(outcome([&] { refill(device, numbered(memory.at()), options, cancel); }) == Exit::failed);
  fake.put("faults", "htod 9 flip\n");
  std::filesystem::remove_all(fake.folder.path() / "count");
  options.read_back = true;
  CHECK(outcome([&] { refill(device, numbered(memory.at()), options, cancel); }) == Exit::corrupt);
  options.buffer_bytes = piece_bytes / 2;
  CHECK(outcome([&] { refill(device, numbered(memory.at()), options, cancel); }) == Exit::failed);
  options.buffer_bytes = piece_bytes;
  cancel.cancel();
  CHECK_THROWS_AS(refill(device, numbered(memory.at()), options, cancel), Error);
}

TEST_CASE("a comparison tells which pieces differ, and changes nothing") {
  Fake fake;
  CudaDriver driver;
  driver.init();
  const CudaDevice device(driver, 0);
  const DeviceBuffer memory(device, pieces * piece_bytes);
  const CancelToken cancel;
  RefillOptions options;
  options.buffer_bytes = piece_bytes;
  const auto list = numbered(memory.at());
  refill(device, list, options, cancel);
  std::vector<size_t> different;
  const auto note = [&](size_t piece) { different.push_back(piece); };
  CHECK(compare(device, list, options, cancel, note).bytes == refill(device, list, options, cancel).bytes);
  CHECK(different.empty());
  const std::byte other{255};
  for (const size_t i : {7U, 150U}) {
    device.copy_in(list[i].target + list[i].bytes - 1, &other, 1, nullptr);
    // Behind its end: no part of it.
    device.copy_in(list[i + 1].target + list[i + 1].bytes, &other, 1, nullptr);
  }
  compare(device, list, options, cancel, note);
  std::sort(different.begin(), different.end());
  CHECK(different == std::vector<size_t>{7, 150});
  different.clear();
  compare(device, list, options, cancel, note);
  CHECK(different.size() == 2);
}

TEST_CASE("the health of a GPU: what it tells, and whether it computes") {
  Fake fake;
  std::vector<GpuHealth> good = gpu_health_told();
  REQUIRE(good.size() == 1);
  try_gpus(good);
  CHECK(good.front().problems.empty());
  CHECK(good.front().bytes_per_second.has_value());
  fake.put("faults", "matmul 0 wrong\n");
  std::vector<GpuHealth> wrong = gpu_health_told();
  try_gpus(wrong);
  REQUIRE(wrong.front().problems.size() == 1);
  CHECK(wrong.front().problems.front() == "it multiplies matrices wrongly");
  fake.put("gpus", "GPU-00000000-0000-0000-0000-000000000001 64 0 2 95 64 Fake H100\n");
  CHECK(problems_of(gpu_health_told().front().gpu).size() == 3);
}
