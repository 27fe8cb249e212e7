// SPDX-License-Identifier: Apache-2.0
#pragma once
// HTTP requests to a server inside, asked from its own network namespace.

#include <chrono>
#include <string>

#include "core/base/cancel.h"

namespace coldstart {

struct HttpAnswer {
  long status = 0;      ///< 0: there was no answer; `failure` says why
  std::string body;     ///< at most 16 MiB
  std::string failure;  ///< "Couldn't connect to server"
};

/// GET, redirects not followed, proxies not used. `netns`: descriptor of a network namespace, -1: ours.
/// Throws Error for what another try would not change (no URL) and when cancelled.
HttpAnswer http_get(const std::string& url, int netns, std::chrono::milliseconds timeout,
                    const CancelToken& cancel);

bool is_http_url(std::string_view text);

}  // namespace coldstart
