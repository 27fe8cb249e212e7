// SPDX-License-Identifier: Apache-2.0
#pragma once
// JSON from outside: parsed and read with errors that name the document and the field.

#include <algorithm>
#include <concepts>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "core/base/error.h"

namespace coldstart {

using Json = nlohmann::json;                 // keys sorted: the canonical form that digests are taken of
using OrderedJson = nlohmann::ordered_json;  // keys as written: what people and scripts are shown

/// Throws Error::corrupt naming `document`. Nesting deeper than 64 is refused.
Json parse_json(std::string_view text, const std::string& document);

/// {"code": exit status, "message": …, "hint"?: …}: as scripts read an error, and as one process of ours
/// hands it on to another.
OrderedJson to_json(const Error& error);
Error error_from_json(const Json& json, const std::string& document);

/// Whether a T can be what `json` says: the library would make any number a whole one, also what does not
/// fit.
template <class T>
struct Fits {
  static bool in(const Json& json) {
    if constexpr (std::integral<T> && !std::same_as<T, bool>) {
      if (json.is_number_unsigned()) return std::in_range<T>(json.get<uint64_t>());
      return json.is_number_integer() && std::in_range<T>(json.get<int64_t>());
    } else {
      return true;  // get() looks
    }
  }
};
template <class T>
struct Fits<std::vector<T>> {
  static bool in(const Json& json) {
    return json.is_array() && std::all_of(json.begin(), json.end(), &Fits<T>::in);
  }
};

/// `json` as a T; nothing if it is of another type, or a number that no T can be.
template <class T>
std::optional<T> exactly(const Json& json) {
  if (!Fits<T>::in(json)) return std::nullopt;
  try {
    return json.get<T>();
  } catch (const nlohmann::json::exception&) {
    return std::nullopt;
  }
}

/// document[key] as a T; throws Error::corrupt if it is absent or of another type.
template <class T>
T field(const Json& object, const char* key, const std::string& document) {
  const auto it = object.is_object() ? object.find(key) : object.end();
  if (it == object.end()) throw Error::corrupt(document + ": the field '" + key + "' is missing");
  if (auto value = exactly<T>(*it)) return std::move(*value);
  throw Error::corrupt(document + ": the field '" + key + "' has the wrong type");
}

}  // namespace coldstart
