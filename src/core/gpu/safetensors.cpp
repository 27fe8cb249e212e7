// SPDX-License-Identifier: Apache-2.0
#include "core/gpu/safetensors.h"

#include <algorithm>
#include <map>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include "core/base/error.h"
#include "core/base/fd.h"
#include "core/base/json.h"

namespace coldstart {

namespace {

constexpr uint64_t size_field = sizeof(uint64_t);

/// Bits of an element; 0 for a type that we do not know, whose size is then not checked.
unsigned bits_of(const std::string& type) {
  static const std::map<std::string, unsigned> bits = {
      {"F64", 64},    {"I64", 64},    {"U64", 64},  {"F32", 32}, {"I32", 32},
      {"U32", 32},    {"F16", 16},    {"BF16", 16}, {"I16", 16}, {"U16", 16},
      {"F8_E4M3", 8}, {"F8_E5M2", 8}, {"I8", 8},    {"U8", 8},   {"BOOL", 8}};
  const auto it = bits.find(type);
  return it == bits.end() ? 0 : it->second;
}

/// The bytes that a shape takes; nothing if they do not fit 64 bits.
std::optional<uint64_t> bytes_of_shape(const std::vector<uint64_t>& shape, unsigned bits) {
  uint64_t product = bits;
  for (const uint64_t n : shape)
    if (__builtin_mul_overflow(product, n, &product)) return std::nullopt;
  return (product + 7) / 8;
}

Tensor tensor_of(const std::string& name, const Json& entry, uint64_t data_start, uint64_t data_bytes,
                 const std::string& document) {
  const std::string shown = fmt::format("{}: tensor '{}'", document, name);
  Tensor tensor;
  tensor.name = name;
  tensor.type = field<std::string>(entry, "dtype", shown);
  tensor.shape = field<std::vector<uint64_t>>(entry, "shape", shown);
  const auto place = field<std::vector<uint64_t>>(entry, "data_offsets", shown);
  if (place.size() != 2 || place[0] > place[1] || place[1] > data_bytes)
    throw Error::corrupt(shown + " lies outside of the file");
  tensor.offset = data_start + place[0];
  tensor.bytes = place[1] - place[0];
  const unsigned bits = bits_of(tensor.type);
  if (bits != 0 && bytes_of_shape(tensor.shape, bits) != tensor.bytes)
    throw Error::corrupt(shown + " has another size than its shape says");
  return tensor;
}

}  // namespace

std::vector<Tensor> parse_safetensors(ByteSpan start, uint64_t file_bytes, const std::string& document) {
  if (start.size() < size_field || file_bytes < start.size())
    throw Error::corrupt(document + " is too short for a safetensors file");
  const auto header_bytes = load<uint64_t>(start.data());
  if (header_bytes > safetensors_header_limit || header_bytes > start.size() - size_field)
    throw Error::corrupt(document + ": the header's size is out of range",
                         "is it a safetensors file, and whole?");
  const Json header =
      parse_json(as_text(start.subspan(size_field, static_cast<size_t>(header_bytes))), document);
  if (!header.is_object()) throw Error::corrupt(document + ": the header is no object");
  const uint64_t data_start = size_field + header_bytes;
  std::vector<Tensor> tensors;
  for (const auto& [name, entry] : header.items())
    if (name != "__metadata__")
      tensors.push_back(tensor_of(name, entry, data_start, file_bytes - data_start, document));
  std::sort(tensors.begin(), tensors.end(), [](const Tensor& a, const Tensor& b) {
    return std::pair(a.offset, a.bytes) < std::pair(b.offset, b.bytes);
  });
  for (size_t i = 1; i < tensors.size(); ++i)
    if (tensors[i].offset < tensors[i - 1].offset + tensors[i - 1].bytes)
      throw Error::corrupt(
          fmt::format("{}: tensors '{}' and '{}' overlap", document, tensors[i - 1].name, tensors[i].name));
  return tensors;
}

std::vector<Tensor> read_safetensors(const std::filesystem::path& file) {
  const Fd fd = open_file(file, O_RDONLY);
  struct stat st {};
  check(::fstat(fd.get(), &st), "cannot stat " + file.string());
  Bytes start(size_field);
  if (pread_full(fd.get(), start, 0) == size_field) {
    const uint64_t header = std::min(load<uint64_t>(start.data()), safetensors_header_limit);
    start.resize(size_field + std::min(header, static_cast<uint64_t>(st.st_size)));
    start.resize(pread_full(fd.get(), start, 0));
  }
  return parse_safetensors(start, static_cast<uint64_t>(st.st_size), file.string());
}

}  // namespace coldstart
