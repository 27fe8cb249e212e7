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

}  // namespace coldstart
