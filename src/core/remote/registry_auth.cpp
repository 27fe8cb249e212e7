// SPDX-License-Identifier: Apache-2.0
#include "core/remote/registry_auth.h"

#include <algorithm>
#include <cstdlib>

#include <openssl/evp.h>
#include <unistd.h>

#include "core/base/files.h"
#include "core/base/json.h"
#include "core/base/log.h"
#include "core/base/subprocess.h"

namespace coldstart {

namespace {

std::string base64(const std::string& text) {
  std::string out(4 * ((text.size() + 2) / 3) + 1, '\0');
  const int n =
      EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                      reinterpret_cast<const unsigned char*>(text.data()), static_cast<int>(text.size()));
  out.resize(static_cast<size_t>(n));
  return out;
}

std::string from_base64(const std::string& text) {
  std::string out(text.size(), '\0');
  const int n =
      EVP_DecodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                      reinterpret_cast<const unsigned char*>(text.data()), static_cast<int>(text.size()));
  if (n < 0) return {};
  const auto padding = static_cast<size_t>(std::count(text.begin(), text.end(), '='));
  out.resize(static_cast<size_t>(n) - std::min<size_t>(padding, static_cast<size_t>(n)));
  return out;
}

std::filesystem::path docker_config() {
  if (const char* folder = std::getenv("DOCKER_CONFIG"); folder != nullptr && *folder != '\0')
    return std::filesystem::path(folder) / "config.json";
  const char* home = std::getenv("HOME");
  return home == nullptr ? std::filesystem::path() : std::filesystem::path(home) / ".docker/config.json";
}

/// Asks docker-credential-HELPER.
std::optional<RegistryLogin> ask_helper(const std::string& helper, const std::string& registry) {
  const Output said =
      run_program({"sh", "-c", R"(printf %s "$2" | "docker-credential-$1" get)", "sh", helper, registry});
  if (!said.exit.ok()) {
    log::debug("docker-credential-{} knows nothing of {}", helper, registry);
    return std::nullopt;
  }
  const std::string document = "what docker-credential-" + helper + " says";
  const Json json = parse_json(said.out, document);
  return RegistryLogin{field<std::string>(json, "Username", document),
                       field<std::string>(json, "Secret", document)};
}

std::optional<RegistryLogin> login_in(const Json& entry) {
  if (!entry.is_object()) return std::nullopt;
  if (entry.contains("username") && entry.contains("password"))
    return RegistryLogin{entry.value("username", ""), entry.value("password", "")};
  const std::string pair = from_base64(entry.value("auth", ""));
  const size_t colon = pair.find(':');
  if (colon == std::string::npos) return std::nullopt;
  return RegistryLogin{pair.substr(0, colon), pair.substr(colon + 1)};
}

}  // namespace

std::optional<RegistryLogin> find_registry_login(const std::string& registry) {
  const std::filesystem::path file = docker_config();
  if (file.empty() || ::access(file.c_str(), R_OK) != 0) return std::nullopt;
  const Json config = parse_json(read_text(file, 1 << 20), file.string());
  const auto part = [&](const char* key) {
    const auto at = config.find(key);
    return at != config.end() && at->is_object() ? *at : Json::object();
  };
  const Json helpers = part("credHelpers"), logins = part("auths");
  const std::string name = registry == "registry-1.docker.io" || registry == "docker.io"
                               ? "https://index.docker.io/v1/"
                               : registry;
  try {
    if (const auto helper = helpers.find(name); helper != helpers.end())
      return ask_helper(helper->get<std::string>(), name);
    for (const std::string& key : {name, "https://" + name, "http://" + name})
      if (const auto at = logins.find(key); at != logins.end())
        if (auto login = login_in(*at)) return login;
    if (const auto store = config.find("credsStore"); store != config.end())
      return ask_helper(store->get<std::string>(), name);
  } catch (const nlohmann::json::exception&) {
    throw Error::corrupt(file.string() + " is not as docker writes it");
  }
  return std::nullopt;
}

AuthChallenge AuthChallenge::parse(std::string_view header) {
  AuthChallenge challenge;
  const size_t space = std::min(header.find(' '), header.size());
  challenge.scheme = header.substr(0, space);
  std::transform(challenge.scheme.begin(), challenge.scheme.end(), challenge.scheme.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  std::string_view rest = header.substr(space);
  while (!rest.empty()) {
    const size_t start = rest.find_first_not_of(" ,");
    if (start == std::string_view::npos) break;
    rest.remove_prefix(start);
    const size_t equals = rest.find('=');
    if (equals == std::string_view::npos) break;
    const std::string key(rest.substr(0, equals));
    rest.remove_prefix(equals + 1);
    const bool quoted = rest.starts_with('"');
    if (quoted) rest.remove_prefix(1);
    const size_t end = std::min(rest.find(quoted ? '"' : ','), rest.size());
    challenge.parameters[key] = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return challenge;
}

std::string RegistryAuth::header(const std::string& access) {
  const std::lock_guard lock(mutex_);
  const auto at = headers_.find(access);
  return at == headers_.end() ? std::string() : at->second;
}

std::string RegistryAuth::fetch_token(const AuthChallenge& challenge, const std::string& access,
                                      const std::string& repository) {
  const auto parameter = [&](const char* name) {
    const auto at = challenge.parameters.find(name);
    return at == challenge.parameters.end() ? std::string() : at->second;
  };
  const std::string realm = parameter("realm");
  if (!realm.starts_with("http://") && !realm.starts_with("https://"))
    throw RemoteError(RemoteError::Kind::refused, registry_ + " names no server of tokens");
  HttpRequest request;
  request.url = realm + (realm.find('?') == std::string::npos ? "?" : "&") +
                "scope=" + encode_query("repository:" + repository + ":" + access);
  if (const std::string service = parameter("service"); !service.empty())
    request.url += "&service=" + encode_query(service);
  if (const auto login = find_registry_login(registry_))
    request.headers.push_back("Authorization: Basic " + base64(login->user + ":" + login->password));
  const HttpResponse response = client_.perform(request);
  if (response.status != 200)
    throw http_failure(response, "cannot get a token for " + registry_, "",
                       "log in: docker login " + registry_);
  const std::string document = "the token for " + registry_;
  const Json json = parse_json(as_text(response.body), document);
  return field<std::string>(json, json.contains("token") ? "token" : "access_token", document);
}

bool RegistryAuth::answer(const std::string& access, const std::string& refused,
                          const AuthChallenge& challenge, const std::string& repository) {
  std::string value;
  if (challenge.scheme == "bearer") {
    value = "Bearer " + fetch_token(challenge, access, repository);
  } else if (challenge.scheme == "basic") {
    const auto login = find_registry_login(registry_);
    if (!login) return false;
    value = "Basic " + base64(login->user + ":" + login->password);
  }
  const std::lock_guard lock(mutex_);
  headers_[access] = value;
  return !value.empty() && value != refused;
}

}  // namespace coldstart
