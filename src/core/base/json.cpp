// SPDX-License-Identifier: Apache-2.0
#include "core/base/json.h"

namespace coldstart {

Json parse_json(std::string_view text, const std::string& document) {
  constexpr int deepest = 64;
  const auto shallow = [](int depth, Json::parse_event_t, Json&) {
    if (depth > deepest) throw Error::corrupt("nested too deeply");
    return true;
  };
  try {
    return Json::parse(text, shallow);
  } catch (const Error& e) {
    throw e.in(document);
  } catch (const nlohmann::json::exception&) {
    throw Error::corrupt(document + " is not valid JSON");
  }
}

OrderedJson to_json(const Error& error) {
  OrderedJson json = {{"code", static_cast<int>(error.exit())}, {"message", error.message()}};
  if (!error.hint().empty()) json["hint"] = error.hint();
  return json;
}

Error error_from_json(const Json& json, const std::string& document) {
  return Error(field<std::string>(json, "message", document),
               json.contains("hint") ? field<std::string>(json, "hint", document) : std::string(),
               static_cast<Exit>(field<int>(json, "code", document)));
}

}  // namespace coldstart
