// SPDX-License-Identifier: Apache-2.0
#include "core/gpu/health.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <map>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "core/base/error.h"
#include "core/base/subprocess.h"
#include "core/gpu/device.h"
#include "core/gpu/matmul_ptx.h"

namespace coldstart {

namespace {

constexpr unsigned hot = 88;  // degrees Celsius: a few below where data centre GPUs slow down by themselves
constexpr uint32_t matrix_size = 256;
constexpr uint64_t copy_bytes = uint64_t{256} << 20;
constexpr std::chrono::seconds patience(2);  // of whoever waits for the health of a GPU

struct Reason {
  uint64_t bit;
  const char* text;
};
constexpr std::array slowdowns = {
    Reason{0x08, "the hardware slows it down"}, Reason{0x20, "it is slowed down as it is hot"},
    Reason{0x40, "the hardware slows it down as it is hot"}, Reason{0x80, "the power supply slows it down"}};

/// XID errors after which a GPU needs a reset or a repair, or has lost what it had.
const std::map<unsigned, const char*> serious_xids = {{48, "uncorrectable memory error"},
                                                      {62, "internal micro-controller halt"},
                                                      {64, "memory row remapping failed"},
                                                      {74, "NVLink error"},
                                                      {79, "it has fallen off the bus"},
                                                      {92, "many memory errors"},
                                                      {94, "contained memory error"},
                                                      {95, "uncontained memory error"},
                                                      {119, "its system processor does not answer"},
                                                      {120, "its system processor failed"}};

std::vector<uint32_t> matrix(uint32_t a, uint32_t b) {
  std::vector<uint32_t> m(size_t{matrix_size} * matrix_size);
  for (uint32_t i = 0; i < m.size(); ++i) m[i] = (i * a) ^ (i >> 7) * b;
  return m;
}

std::vector<uint32_t> product(const std::vector<uint32_t>& a, const std::vector<uint32_t>& b) {
  constexpr size_t n = matrix_size;
  std::vector<uint32_t> c(n * n);
  for (size_t row = 0; row < n; ++row)
    for (size_t k = 0; k < n; ++k)
      for (size_t column = 0; column < n; ++column) c[row * n + column] += a[row * n + k] * b[k * n + column];
  return c;
}

bool multiplies_rightly(const CudaDevice& device, const DeviceStream& stream) {
  const std::vector<uint32_t> a = matrix(2654435761U, 97);
  const std::vector<uint32_t> b = matrix(40503, 2246822519U);
  std::vector<uint32_t> c(a.size());
  const size_t bytes = a.size() * sizeof(uint32_t);
  const DeviceBuffer on_a(device, bytes), on_b(device, bytes), on_c(device, bytes);
  device.copy_in(on_a.at(), a.data(), bytes, stream.get());
  device.copy_in(on_b.at(), b.data(), bytes, stream.get());
  cuda::DevicePtr at_a = on_a.at(), at_b = on_b.at(), at_c = on_c.at();
  uint32_t n = matrix_size;
  std::array<void*, 4> parameters = {&at_a, &at_b, &at_c, &n};
  constexpr unsigned block = 16;
  device.run(matmul_ptx, "coldstart_matmul", matrix_size / block, block, parameters.data(), stream.get());
  device.copy_out(c.data(), on_c.at(), bytes, stream.get());
  device.wait_stream(stream.get());
  return c == product(a, b);
}

/// Bytes read and written; absent where there is too little free memory to tell.
std::optional<double> copy_speed(const CudaDevice& device, const DeviceStream& stream) {
  const uint64_t bytes = std::min(copy_bytes, device.free_bytes() / 8) & ~uint64_t{4095};
  if (bytes == 0) return std::nullopt;
  constexpr int rounds = 4;
  const DeviceBuffer from(device, bytes), to(device, bytes);
  const DeviceEvent start(device), end(device);
  device.copy(to.at(), from.at(), bytes, stream.get());  // the first one wakes it up
  device.record(start.get(), stream.get());
  for (int i = 0; i < rounds; ++i) device.copy(to.at(), from.at(), bytes, stream.get());
  device.record(end.get(), stream.get());
  device.wait_event(end.get());
  const double seconds = static_cast<double>(device.milliseconds_between(start.get(), end.get())) / 1000;
  if (seconds <= 0) return std::nullopt;
  return 2.0 * rounds * static_cast<double>(bytes) / seconds;
}

/// In a process of its own, which sees one GPU.
GpuHealth try_here(const GpuUuid& gpu) {
  ::setenv("CUDA_VISIBLE_DEVICES", to_text(gpu).c_str(), 1);
  GpuHealth found;
  try {
    CudaDriver driver;
    driver.init();
    const CudaDevice device(driver, 0);
    const DeviceStream stream(device);
    if (!multiplies_rightly(device, stream)) found.problems.emplace_back("it multiplies matrices wrongly");
    found.bytes_per_second = copy_speed(device, stream);
  } catch (const CudaError& e) {
    // Its memory may all be taken by who uses it: that is no illness, but nothing can be tried then.
    if (e.result() != cuda::error_out_of_memory) found.problems.emplace_back(e.what());
  } catch (const std::exception& e) {
    found.problems.emplace_back(e.what());
  }
  return found;
}

/// A process that tries one GPU.
class Trial {
 public:
  explicit Trial(const GpuUuid& gpu) {
    const pid_t parent = ::getpid();
    const pid_t pid = check(::fork(), "cannot start a process");
    if (pid == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (::getppid() == parent) report(try_here(gpu));
      ::_exit(0);
    }
    child_ = Child(pid);
    report_.write.reset();
  }

  void finish(GpuHealth& told, std::chrono::steady_clock::time_point deadline) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    if (!child_.wait_for(std::max(left, std::chrono::milliseconds(0)))) {
      told.problems.push_back(fmt::format("no answer within {} seconds", patience.count()));
      return;
    }
    Bytes bytes(report_limit);  // a pipe holds it, so the child has not waited for us
    bytes.resize(read_full(report_.read.get(), bytes));
    try {
      const Json found = parse_json(as_text(bytes), "what was found");
      for (auto& problem : field<std::vector<std::string>>(found, "problems", "what was found"))
        told.problems.push_back(std::move(problem));
      if (found.contains("bytes_per_second"))
        told.bytes_per_second = exactly<double>(found["bytes_per_second"]);
    } catch (const Error&) {
      told.problems.emplace_back("the process that tried it broke off");
    }
  }

 private:
  void report(const GpuHealth& found) const noexcept {
    try {
      Json said = {{"problems", found.problems}};
      if (found.bytes_per_second) said["bytes_per_second"] = *found.bytes_per_second;
      write_full(report_.write.get(), as_bytes(said.dump(-1, ' ', false, Json::error_handler_t::replace)));
    } catch (...) {  // nothing is told: that is seen
    }
  }

  static constexpr size_t report_limit = 4096;
  Pipe report_ = make_pipe();
  Child child_;
};

}  // namespace

std::string GpuHealth::text() const {
  if (!problems.empty()) return fmt::format("{}: {}", gpu.name, fmt::join(problems, "; "));
  std::string text = gpu.name;
  if (gpu.temperature) text += fmt::format(", {} C", *gpu.temperature);
  if (bytes_per_second) text += fmt::format(", {:.0f} GB/s", *bytes_per_second / 1e9);
  if (!gpu.persistent.value_or(true))
    text += ", persistence mode off: whoever uses it first waits seconds ('nvidia-smi -pm 1')";
  return text;
}

std::vector<std::string> problems_of(const GpuInfo& gpu) {
  std::vector<std::string> problems;
  if (gpu.uncorrected_ecc.value_or(0) > 0)
    problems.push_back(fmt::format("{} uncorrected memory errors", *gpu.uncorrected_ecc));
  if (gpu.temperature.value_or(0) >= hot) problems.push_back(fmt::format("it has {} C", *gpu.temperature));
  for (const Reason& reason : slowdowns)
    if ((gpu.throttle_reasons.value_or(0) & reason.bit) != 0) problems.emplace_back(reason.text);
  return problems;
}

std::vector<std::string> problems_of(const GpuInfo& gpu, const std::vector<Xid>& xids, double since) {
  std::vector<std::string> problems;
  for (const Xid& xid : xids) {
    const auto it = serious_xids.find(xid.number);
    if (it == serious_xids.end() || xid.seconds < since || !xid.pci.starts_with(gpu.pci)) continue;
    std::string text = fmt::format("the kernel logged XID {} on {}: {}", xid.number, xid.pci, it->second);
    if (std::find(problems.begin(), problems.end(), text) == problems.end())
      problems.push_back(std::move(text));
  }
  return problems;
}

std::vector<GpuHealth> gpu_health_told(double xids_since) {
  const std::vector<Xid> xids = logged_xids();
  std::vector<GpuHealth> all;
  for (GpuInfo& gpu : gpu_inventory().gpus) {
    GpuHealth one{std::move(gpu), {}, std::nullopt};
    one.problems = problems_of(one.gpu);
    for (std::string& logged : problems_of(one.gpu, xids, xids_since))
      one.problems.push_back(std::move(logged));
    all.push_back(std::move(one));
  }
  return all;
}

void try_gpus(std::vector<GpuHealth>& told) {
  std::vector<Trial> trials;
  trials.reserve(told.size());
  for (const GpuHealth& one : told) trials.emplace_back(one.gpu.uuid);
  const auto deadline = std::chrono::steady_clock::now() + patience;
  for (size_t i = 0; i < told.size(); ++i) trials[i].finish(told[i], deadline);
}

OrderedJson to_json(const std::vector<GpuHealth>& all) {
  OrderedJson list = OrderedJson::array();
  for (const GpuHealth& one : all) {
    OrderedJson speed;
    if (one.bytes_per_second) speed = *one.bytes_per_second;
    list.push_back({{"uuid", to_text(one.gpu.uuid)},
                    {"name", one.gpu.name},
                    {"problems", one.problems},
                    {"bytes_per_second", std::move(speed)}});
  }
  return list;
}

std::map<GpuUuid, std::vector<std::string>> gpu_problems_from(const Json& json) {
  const std::string document = "the health of the GPUs";
  if (!json.is_array()) throw Error::corrupt(document + " is no list");
  std::map<GpuUuid, std::vector<std::string>> problems;
  for (const Json& one : json) {
    const auto uuid = parse_gpu_uuid(field<std::string>(one, "uuid", document));
    if (!uuid) throw Error::corrupt(document + ": a GPU's UUID is none");
    problems[*uuid] = field<std::vector<std::string>>(one, "problems", document);
  }
  return problems;
}

}  // namespace coldstart
