// SPDX-License-Identifier: Apache-2.0
#pragma once
// JSON from outside: parsed and read with errors that name the document and the field.

#include <string>
#include <string_view>

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

/// document[key] as a T; throws Error::corrupt if it is absent or of another type.
template <class T>
T field(const Json& object, const char* key, const std::string& document) {
  const auto it = object.is_object() ? object.find(key) : object.end();
  if (it == object.end()) throw Error::corrupt(document + ": the field '" + key + "' is missing");
  try {
    return it->get<T>();
  } catch (const nlohmann::json::exception&) {
    throw Error::corrupt(document + ": the field '" + key + "' has the wrong type");
  }
}

}  // namespace coldstart
