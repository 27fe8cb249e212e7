// SPDX-License-Identifier: Apache-2.0
#include "core/pipeline/weights_hint.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <map>

#include <fmt/format.h>

#include "core/base/progress_task.h"
#include "core/base/workers.h"
#include "core/gpu/shared_memory.h"
#include "core/pipeline/weights_files.h"

namespace coldstart {

namespace {

constexpr uint64_t hashed_at_once = uint64_t{4} << 20;

/// A file of the image, and its tensors by name.
struct NamedTensors {
  WeightsFile file;
  std::map<std::string, Tensor> by_name;
};

/// One call of drop or refill: the driver, what is open of the server's memory, and the pieces.
class Hinted {
 public:
  Hinted(const std::shared_ptr<Store>& store, const WeightsHint& hint, const WeightsList& list)
      : store_(store), hint_(hint), list_(list) {
    for (const PlacedTensor& tensor : list.tensors) find(tensor);  // all that is wrong in the list, at once
  }

  /// Opens what has handles, and makes pieces of it. `pieces` are then for this device.
  const CudaDevice& open() {
    driver_.emplace();
    driver_->init();
    device_.emplace(*driver_, list_.gpu ? ordinal_of(*driver_, *list_.gpu) : 0);
    for (size_t i = 0; i < list_.tensors.size(); ++i)
      if (list_.tensors[i].handle) place(list_.tensors[i], i);
    return *device_;
  }
  const std::vector<RefillPiece>& pieces() const { return pieces_; }
  /// The tensor that a piece belongs to.
  size_t tensor_of(size_t piece) const { return owners_[piece]; }

  uint64_t bytes_of(const PlacedTensor& tensor) const {
    const Tensor& in_file = files_.at(path_of(tensor)).by_name.at(tensor.name);
    return tensor.bytes.value_or(in_file.bytes - tensor.from);
  }
  /// Of the tensor as the image has it. Thread-safe.
  Digest digest_of(const PlacedTensor& tensor, const CancelToken& cancel) const {
    const NamedTensors& named = files_.at(path_of(tensor));
    const Tensor& in_file = named.by_name.at(tensor.name);
    uint64_t left = bytes_of(tensor);
    Hasher hasher;
    for (uint64_t at = in_file.offset + tensor.from; left > 0;) {
      cancel.check();
      Bytes bytes(std::min<uint64_t>(left, hashed_at_once));
      read_weights(*store_, named.file, at, bytes);
      hasher.update(bytes);
      at += bytes.size();
      left -= bytes.size();
    }
    return hasher.finish();
  }

 private:
  const std::string& path_of(const PlacedTensor& tensor) const {
    return tensor.file.empty() ? hint_.file : tensor.file;
  }
  const NamedTensors& file_of(const PlacedTensor& tensor) {
    const std::string& path = path_of(tensor);
    if (path.empty())
      throw Error::usage(fmt::format("tensor '{}' names no file", tensor.name), "name one: --file FILE");
    const auto [it, is_new] = files_.try_emplace(path);
    if (!is_new) return it->second;
    auto file = image_weights(store_, hint_.image, path);
    if (!file) throw Error::not_found(fmt::format("the image has no file {}", path));
    it->second.file = std::move(*file);
    for (Tensor& one : tensors_of(it->second.file)) it->second.by_name.emplace(one.name, one);
    return it->second;
  }

  /// The tensor in the file, and how much of it is meant.
  std::pair<const Tensor*, uint64_t> find(const PlacedTensor& tensor) {
    const NamedTensors& named = file_of(tensor);
    const auto it = named.by_name.find(tensor.name);
    if (it == named.by_name.end())
      throw Error::not_found(fmt::format("{} has no tensor '{}'", named.file.name, tensor.name));
    const uint64_t all = it->second.bytes;
    if (tensor.from > all || tensor.bytes.value_or(0) > all - tensor.from)
      throw Error::usage(
          fmt::format("tensor '{}' has {} bytes, not those that were named", tensor.name, all));
    return {&it->second, tensor.bytes.value_or(all - tensor.from)};
  }

  void place(const PlacedTensor& tensor, size_t number) {
    const auto [in_file, bytes] = find(tensor);
    if (bytes == 0) return;
    // Of several tensors in one allocation the handle is the same, and is opened once.
    const auto open = opened_.try_emplace(tensor.handle->bytes, *device_, *tensor.handle).first;
    const uint64_t there = open->second.bytes();
    if (tensor.offset > there || bytes > there - tensor.offset)
      throw Error::usage(
          fmt::format("tensor '{}' is not within its allocation, which has {} bytes", tensor.name, there));
    const WeightsFile& file = file_of(tensor).file;
    for (uint64_t at = 0; at < bytes;) {
      const uint64_t in = in_file->offset + tensor.from + at;
      const uint64_t n = std::min(whole_chunks(file, in, hint_.options.buffer_bytes), bytes - at);
      pieces_.push_back({open->second.at() + tensor.offset + at, n,
                         [this, &file, in](MutableByteSpan into) { read_weights(*store_, file, in, into); }});
      owners_.push_back(number);
      at += n;
    }
  }

  const std::shared_ptr<Store> store_;
  const WeightsHint& hint_;
  const WeightsList& list_;
  std::map<std::string, NamedTensors> files_;
  std::optional<CudaDriver> driver_;
  std::optional<CudaDevice> device_;
  std::map<std::array<char, 64>, SharedDeviceMemory> opened_;
  std::vector<RefillPiece> pieces_;
  std::vector<size_t> owners_;
};

/// Of the tensors that have no handle.
RefillResult compare_digests(const Hinted& hinted, const WeightsHint& hint, const WeightsList& list,
                             std::vector<char>& differs, Operation& op) {
  const auto began = std::chrono::steady_clock::now();
  std::atomic<uint64_t> bytes = 0;
  Workers workers(hint.options.readers, size_t{2} * hint.options.readers);
  for (size_t i = 0; i < list.tensors.size(); ++i) {
    if (list.tensors[i].handle) continue;
    workers.submit([&, i] {
      const PlacedTensor& tensor = list.tensors[i];
      bytes += hinted.bytes_of(tensor);
      differs[i] = hinted.digest_of(tensor, op.cancel) == *tensor.digest ? 0 : 1;
    });
  }
  workers.wait();
  return {bytes, std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count()};
}

}  // namespace

DropResult compare_weights(const std::shared_ptr<Store>& store, const WeightsHint& hint,
                           const WeightsList& list, Operation& op) {
  for (const PlacedTensor& tensor : list.tensors)
    if (!tensor.handle && !tensor.digest)
      throw Error::usage(fmt::format("tensor '{}' has neither a digest nor a handle", tensor.name));
  Hinted hinted(store, hint, list);
  const ProgressTask task(op.progress, "comparing weights", 0, Progress::Unit::steps);
  const auto span = op.timeline.span("compare weights");
  std::vector<char> differs(list.tensors.size());  // not bits: threads write to neighbours
  DropResult result;
  if (std::any_of(list.tensors.begin(), list.tensors.end(), [](const auto& t) { return t.handle; })) {
    const CudaDevice& device = hinted.open();
    result.compared = compare(device, hinted.pieces(), hint.options, op.cancel,
                              [&](size_t piece) { differs[hinted.tensor_of(piece)] = 1; });
  }
  const RefillResult by_digest = compare_digests(hinted, hint, list, differs, op);
  result.compared.bytes += by_digest.bytes;
  result.compared.seconds += by_digest.seconds;
  for (size_t i = 0; i < list.tensors.size(); ++i)
    (differs[i] != 0 ? result.different : result.same).push_back(i);
  return result;
}

RefillResult refill_weights(const std::shared_ptr<Store>& store, const WeightsHint& hint,
                            const WeightsList& list, Operation& op) {
  for (const PlacedTensor& tensor : list.tensors)
    if (!tensor.handle) throw Error::usage(fmt::format("tensor '{}' has no handle", tensor.name));
  Hinted hinted(store, hint, list);
  const ProgressTask task(op.progress, "filling weights", 0, Progress::Unit::steps);
  const auto span = op.timeline.span("refill weights");
  const CudaDevice& device = hinted.open();
  return refill(device, hinted.pieces(), hint.options, op.cancel);
}

}  // namespace coldstart
