// SPDX-License-Identifier: Apache-2.0
#include "core/pool/api.h"

#include <algorithm>
#include <initializer_list>

#include <fmt/format.h>

namespace coldstart {

namespace {

constexpr double longest_wait = 24 * 3600;

/// An object, or nothing at all, which is an empty one.
Json parse_body(std::string_view body) {
  if (body.find_first_not_of(" \t\r\n") == std::string_view::npos) return Json::object();
  try {
    Json json = parse_json(body, "the request");
    if (json.is_object()) return json;
  } catch (const Error& e) {
    throw Error::usage(e.message());
  }
  throw Error::usage("the request is no JSON object");
}

template <class T>
T value_or(const Json& json, const char* key, T otherwise) {
  if (!json.contains(key)) return otherwise;
  if (auto value = exactly<T>(json[key])) return std::move(*value);
  throw Error::usage(fmt::format("'{}' has the wrong type", key));
}

LeaseEnd end_of(const Json& json, const char* key) {
  const auto word = value_or<std::string>(json, key, "end");
  for (const LeaseEnd end : {LeaseEnd::end, LeaseEnd::give_back})
    if (word == to_text(end)) return end;
  throw Error::usage(fmt::format("'{}' is neither \"end\" nor \"give_back\"", key));
}

/// What nobody asked for is a misspelling.
void only(const Json& json, std::initializer_list<const char*> keys) {
  for (const auto& [key, value] : json.items())
    if (std::none_of(keys.begin(), keys.end(), [&k = key](const char* known) { return k == known; }))
      throw Error::usage(fmt::format("unknown field '{}'", key));
}

int status_of(Exit exit) {
  switch (exit) {
    case Exit::usage:
      return 400;
    case Exit::not_found:
      return 404;
    case Exit::empty:
      return 503;
    default:
      return 500;
  }
}

}  // namespace

ApiClaim parse_claim(std::string_view body) {
  const Json json = parse_body(body);
  only(json, {"timeout", "holder", "at_end"});
  ApiClaim claim;
  claim.request.timeout = value_or(json, "timeout", claim.request.timeout);
  if (!(claim.request.timeout >= 0 && claim.request.timeout <= longest_wait))
    throw Error::usage("'timeout' is not between 0 and a day's seconds");
  claim.request.at_end = end_of(json, "at_end");
  if (json.contains("holder") && json["holder"] == "connection") {
    claim.with_connection = true;
  } else if (json.contains("holder")) {
    claim.request.holder = value_or<pid_t>(json, "holder", 0);
    if (claim.request.holder <= 0) throw Error::usage("'holder' is neither a pid nor \"connection\"");
  }
  return claim;
}

ApiRelease parse_release(std::string_view body) {
  const Json json = parse_body(body);
  only(json, {"id", "at_end"});
  ApiRelease release{value_or<std::string>(json, "id", ""), end_of(json, "at_end")};
  if (release.id.empty()) throw Error::usage("'id' says which replica");
  return release;
}

bool parse_stop(std::string_view body) {
  const Json json = parse_body(body);
  only(json, {"all"});
  return value_or(json, "all", false);
}

HttpReply json_reply(const OrderedJson& json) {
  return {200, json.dump(-1, ' ', false, OrderedJson::error_handler_t::replace) + "\n"};
}

HttpReply to_reply(const Error& error) {
  HttpReply reply = json_reply({{"error", to_json(error)}});
  reply.status = status_of(error.exit());
  return reply;
}

HttpReply to_reply(const ClaimAnswer& answer) {
  if (answer.error) return to_reply(*answer.error);
  return json_reply({{"id", answer.slot.id},
                     {"pid", answer.slot.pid},
                     {"claim_seconds", answer.seconds},
                     {"ports", answer.slot.ports}});
}

OrderedJson to_json(const PoolStatus& s) {
  OrderedJson leases = OrderedJson::array();
  for (const Lease& lease : s.leases) leases.push_back(lease.to_json());
  return {{"idle", s.idle},
          {"warming", s.warming},
          {"checking", s.checking},
          {"claimed", s.claimed},
          {"ending", s.ending},
          {"waiting", s.waiting},
          {"wanted", s.wanted},
          {"claims", s.claims},
          {"hits", s.hits},
          {"timeouts", s.timeouts},
          {"hit_rate", s.hit_rate()},
          {"made", s.made},
          {"failed", s.failed},
          {"unhealthy", s.unhealthy},
          {"make_seconds", s.make_seconds},
          {"claim_seconds", s.claims == 0 ? 0 : s.claim_seconds / static_cast<double>(s.claims)},
          {"draining", s.draining},
          {"last_failure", s.last_failure},
          {"leases", leases}};
}

HttpReply metrics(const PoolStatus& s) {
  std::string text;
  const auto family = [&](const char* name, const char* type, const char* help) {
    text += fmt::format("# HELP coldstart_pool_{0} {2}\n# TYPE coldstart_pool_{0} {1}\n", name, type, help);
  };
  const auto sample = [&](const char* name, const auto& value) {
    text += fmt::format("coldstart_pool_{} {}\n", name, value);
  };
  family("slots", "gauge", "Slots by what they are doing.");
  sample("slots{state=\"idle\"}", s.idle);
  sample("slots{state=\"warming\"}", s.warming);
  sample("slots{state=\"checking\"}", s.checking);
  sample("slots{state=\"claimed\"}", s.claimed);
  sample("slots{state=\"ending\"}", s.ending);
  family("slots_wanted", "gauge", "Idle slots that the pool wants.");
  sample("slots_wanted", s.wanted);
  family("claims_waiting", "gauge", "Claims that wait for a slot.");
  sample("claims_waiting", s.waiting);
  family("claims_total", "counter", "Claims by how they ended.");
  sample("claims_total{result=\"hit\"}", s.hits);
  sample("claims_total{result=\"waited\"}", s.claims - s.hits);
  sample("claims_total{result=\"timeout\"}", s.timeouts);
  family("claim_seconds_total", "counter", "Time that claims took until their replica ran.");
  sample("claim_seconds_total", s.claim_seconds);
  family("slots_made_total", "counter", "Slots that were made.");
  sample("slots_made_total", s.made);
  family("slots_failed_total", "counter", "Slots that could not be made.");
  sample("slots_failed_total", s.failed);
  family("slots_unhealthy_total", "counter", "Slots that turned out ill or dead after they were made.");
  sample("slots_unhealthy_total", s.unhealthy);
  family("make_seconds", "gauge", "What making a slot takes, of late.");
  sample("make_seconds", s.make_seconds);
  return {200, std::move(text), "text/plain; version=0.0.4"};
}

}  // namespace coldstart
