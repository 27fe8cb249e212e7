// SPDX-License-Identifier: Apache-2.0
#include "core/gpu/weights_list.h"

#include <fmt/format.h>

namespace coldstart {

namespace {

constexpr size_t most_tensors = 1'000'000;

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

cuda::IpcHandle parse_handle(const std::string& text, const std::string& document) {
  cuda::IpcHandle handle;
  if (text.size() != 2 * handle.bytes.size())
    throw Error::corrupt(document + ": the handle is not of 64 bytes, as hex digits");
  for (size_t i = 0; i < handle.bytes.size(); ++i) {
    const int high = hex_value(text[2 * i]), low = hex_value(text[2 * i + 1]);
    if (high < 0 || low < 0) throw Error::corrupt(document + ": the handle has other than hex digits");
    handle.bytes[i] = static_cast<char>(high * 16 + low);
  }
  return handle;
}

template <class T>
std::optional<T> field_if_there(const Json& object, const char* key, const std::string& document) {
  if (!object.is_object() || !object.contains(key)) return std::nullopt;
  return field<T>(object, key, document);
}

std::optional<uint64_t> number_if_there(const Json& object, const char* key, const std::string& document) {
  if (!object.contains(key)) return std::nullopt;
  if (const auto number = exactly<uint64_t>(object[key])) return number;
  throw Error::corrupt(fmt::format("{}: the field '{}' is no number of bytes", document, key));
}

PlacedTensor tensor_of(const Json& entry, const std::string& document) {
  PlacedTensor tensor;
  tensor.name = field<std::string>(entry, "name", document + ": a tensor");
  const std::string shown = fmt::format("{}: tensor '{}'", document, tensor.name);
  tensor.file = field_if_there<std::string>(entry, "file", shown).value_or("");
  if (const auto handle = field_if_there<std::string>(entry, "handle", shown))
    tensor.handle = parse_handle(*handle, shown);
  if (const auto digest = field_if_there<std::string>(entry, "digest", shown)) {
    tensor.digest = Digest::parse(*digest);
    if (!tensor.digest) throw Error::corrupt(shown + ": the field 'digest' is none");
  }
  tensor.offset = number_if_there(entry, "offset", shown).value_or(0);
  tensor.from = number_if_there(entry, "from", shown).value_or(0);
  tensor.bytes = number_if_there(entry, "bytes", shown);
  return tensor;
}

}  // namespace

WeightsList WeightsList::parse(std::string_view text, const std::string& document) {
  const Json json = parse_json(text, document);
  WeightsList list;
  if (const auto image = field_if_there<std::string>(json, "image", document)) {
    list.image = Digest::parse(*image);
    if (!list.image) throw Error::corrupt(document + ": the field 'image' is no digest");
  }
  if (const auto gpu = field_if_there<std::string>(json, "gpu", document)) {
    list.gpu = parse_gpu_uuid(*gpu);
    if (!list.gpu) throw Error::corrupt(document + ": the field 'gpu' is no GPU's UUID");
  }
  const auto tensors = field<Json>(json, "tensors", document);
  if (!tensors.is_array() || tensors.size() > most_tensors)
    throw Error::corrupt(document + ": the field 'tensors' is no list of them, or is too long");
  for (const Json& entry : tensors) list.tensors.push_back(tensor_of(entry, document));
  return list;
}

OrderedJson to_json(const WeightsList& list, const Digest& image, const std::vector<size_t>& which) {
  OrderedJson tensors = OrderedJson::array();
  for (const size_t i : which) {
    const PlacedTensor& tensor = list.tensors[i];
    OrderedJson one = {{"name", tensor.name}};
    if (!tensor.file.empty()) one["file"] = tensor.file;
    if (tensor.from != 0) one["from"] = tensor.from;
    if (tensor.bytes) one["bytes"] = *tensor.bytes;
    if (tensor.digest) one["digest"] = tensor.digest->text();
    tensors.push_back(std::move(one));
  }
  return {{"image", image.text()}, {"tensors", std::move(tensors)}};
}

}  // namespace coldstart
