// SPDX-License-Identifier: Apache-2.0
#pragma once
// Weights that a server drops before its snapshot and gets back after the restore: from the chunks of the
// image, each verified, through pinned buffers into the device memory that the server exported.

#include <memory>
#include <vector>

#include "core/gpu/refill.h"
#include "core/gpu/weights_list.h"
#include "core/store/store.h"
#include "core/timeline/operation.h"

namespace coldstart {

struct WeightsHint {
  Digest image;      ///< must be kept in use by the caller
  std::string file;  ///< for tensors that name none; may be empty
  RefillOptions options;
};

struct DropResult {
  RefillResult compared;
  std::vector<size_t> same;       ///< numbers of tensors that the image has, to the last bit
  std::vector<size_t> different;  ///< of those that it has with other bytes: they must stay
};

/// Compares device memory (where the list has handles) or its digests (else) with the image; writes nothing,
/// and uses the GPU only if there is a handle. Throws Error::not_found for a file or a tensor that the image
/// lacks, Error::usage for a place that is outside of its allocation or tensor.
DropResult compare_weights(const std::shared_ptr<Store>& store, const WeightsHint& hint,
                           const WeightsList& list, Operation& op);

/// Fills device memory from the image. If it throws, what is on the device there is undefined.
RefillResult refill_weights(const std::shared_ptr<Store>& store, const WeightsHint& hint,
                            const WeightsList& list, Operation& op);

}  // namespace coldstart
