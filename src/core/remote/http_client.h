// SPDX-License-Identifier: Apache-2.0
#pragma once
// HTTP requests through libcurl: connections are kept between requests, and nothing hangs.

#include <map>
#include <mutex>

#include "core/remote/object_store.h"

namespace coldstart {

struct HttpRequest {
  std::string method = "GET";
  std::string url;
  std::vector<std::string> headers;  ///< "Name: value"
  std::optional<ByteRange> range;
  const ObjectSource* body = nullptr;  ///< for PUT and POST
  std::string sigv4;                   ///< as CURLOPT_AWS_SIGV4 wants it; empty: not signed
  std::string user, password;          ///< of sigv4: the access key and its secret
  bool follow = true;                  ///< redirects, at most five
  size_t body_limit = max_object_bytes;
};

struct HttpResponse {
  long status = 0;
  std::map<std::string, std::string> headers;  ///< names in lower case
  Bytes body;                                  ///< of a ranged request that was answered: exactly the range
  std::string header(const std::string& name) const {
    const auto at = headers.find(name);
    return at == headers.end() ? std::string() : at->second;
  }
};

/// Thread-safe.
class HttpClient {
 public:
  /// `what`: the place, for messages.
  HttpClient(std::string what, const RemoteOptions& options);
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  /// Any status is an answer. Throws RemoteError when there was none (unreachable, transient) or it was not
  /// what its headers say (transient).
  HttpResponse perform(const HttpRequest& request);

 private:
  class Lease;
  const std::string what_;
  const std::chrono::milliseconds deadline_;
  const CancelToken* const cancel_;
  std::mutex mutex_;         // guards idle_
  std::vector<void*> idle_;  // curl handles, each with its open connections
};

/// What a status other than success means: 404 absent, 401 and 403 denied, 429 and 5xx transient.
/// `doing` as in "cannot read X".
RemoteError http_failure(const HttpResponse& response, const std::string& doing, const std::string& said = {},
                         const std::string& hint = {});

/// Percent-encodes all but unreserved characters and '/'.
std::string encode_path(std::string_view path);
/// The same, '/' too.
std::string encode_query(std::string_view text);

}  // namespace coldstart
