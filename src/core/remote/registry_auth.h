// SPDX-License-Identifier: Apache-2.0
#pragma once
// Who we are to an OCI registry.

#include <map>
#include <mutex>
#include <optional>
#include <string>

#include "core/remote/http_client.h"

namespace coldstart {

struct RegistryLogin {
  std::string user, password;
};

/// As docker keeps it: $DOCKER_CONFIG/config.json or ~/.docker/config.json, in the file or in a helper's
/// keeping. Nothing if there is none.
std::optional<RegistryLogin> find_registry_login(const std::string& registry);

/// A challenge of a registry ("Bearer realm=…,service=…,scope=…") as its scheme (lower case) and parameters.
struct AuthChallenge {
  std::string scheme;
  std::map<std::string, std::string> parameters;
  static AuthChallenge parse(std::string_view header);
};

/// Finds out what a registry wants to see, and keeps it. Thread-safe.
class RegistryAuth {
 public:
  RegistryAuth(std::string registry, HttpClient& client) : registry_(std::move(registry)), client_(client) {}

  /// The Authorization header's value for this kind of access ("pull" or "pull,push"); empty: none known.
  std::string header(const std::string& access);
  /// Answers a challenge (of a 401). False if there is nothing new to be said: then we are denied. Throws
  /// RemoteError if the server of tokens fails.
  bool answer(const std::string& access, const std::string& refused, const AuthChallenge& challenge,
              const std::string& repository);

 private:
  std::string fetch_token(const AuthChallenge& challenge, const std::string& access,
                          const std::string& repository);
  const std::string registry_;
  HttpClient& client_;
  std::mutex mutex_;                            // guards headers_
  std::map<std::string, std::string> headers_;  // by access
};

}  // namespace coldstart
