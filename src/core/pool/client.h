// SPDX-License-Identifier: Apache-2.0
#pragma once
// Asking a pool's service.

#include <chrono>
#include <string>

#include "core/base/cancel.h"
#include "core/base/json.h"
#include "core/pool/directory.h"

namespace coldstart {

/// Asks `pool` ("POST", "/v1/claim", …) and gives its JSON. Throws the service's own error, or one that names
/// the pool if it does not answer within `timeout`; cancelled: throws.
Json ask_pool(const PoolEntry& pool, const std::string& method, const std::string& path,
              const OrderedJson& body, std::chrono::milliseconds timeout, const CancelToken& cancel);

}  // namespace coldstart
