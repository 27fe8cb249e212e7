// SPDX-License-Identifier: Apache-2.0
#pragma once
// Where the tensors of a .safetensors file lie: 8 bytes with the header's size, a JSON header, the tensors'
// bytes one after the other. Files come from anywhere, so nothing in the header is believed.

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "core/base/bytes.h"

namespace coldstart {

struct Tensor {
  std::string name;
  std::string type;             ///< "BF16"
  std::vector<uint64_t> shape;  ///< empty: a scalar
  uint64_t offset = 0;          ///< of its first byte in the file
  uint64_t bytes = 0;
};

/// The most that a header may be; the format's own limit.
constexpr uint64_t safetensors_header_limit = 100'000'000;

/// In the order of the file. `start` is its beginning, at least the header; `file_bytes` its whole size.
/// Throws Error::corrupt naming `document`: a size or a place out of range, tensors that overlap, bytes that
/// do not agree with the shape.
std::vector<Tensor> parse_safetensors(ByteSpan start, uint64_t file_bytes, const std::string& document);
std::vector<Tensor> read_safetensors(const std::filesystem::path& file);

}  // namespace coldstart
