// SPDX-License-Identifier: Apache-2.0
#pragma once
// The pool's HTTP API in and out of its own types: docs/pool-api.yaml describes it.

#include <string>
#include <string_view>

#include "core/pool/pool.h"

namespace coldstart {

struct HttpReply {
  int status = 200;
  std::string body;
  const char* type = "application/json";
};

/// A claim as it was asked for.
struct ApiClaim {
  ClaimRequest request;
  bool with_connection = false;  ///< the lease is held by the connection that asked
};
/// What is not said is as ClaimRequest has it. Throws Error::usage for what cannot be understood.
ApiClaim parse_claim(std::string_view body);

struct ApiRelease {
  std::string id;
  LeaseEnd end = LeaseEnd::end;
};
ApiRelease parse_release(std::string_view body);
/// {"all": true}
bool parse_stop(std::string_view body);

HttpReply to_reply(const ClaimAnswer& answer);
/// {"error": {"code", "message", "hint"}} with the status that fits: 400, 404, 503, 500.
HttpReply to_reply(const Error& error);
HttpReply json_reply(const OrderedJson& json);
OrderedJson to_json(const PoolStatus& status);
/// Prometheus' text format.
HttpReply metrics(const PoolStatus& status);

}  // namespace coldstart
