// SPDX-License-Identifier: Apache-2.0
// A repository of an OCI registry: blobs are its blobs, refs its tags. A ref of coldstart's is an OCI
// manifest already, so it goes there as it is.
//
// A tag has fewer letters than a reference, so NAME:TAG is written with '_.' for ':', '_-' for '/', and '__'
// for
// '_'; a snapshot's ends with '_.snapshot'.

#include <algorithm>

#include <fmt/format.h>

#include "core/base/json.h"
#include "core/remote/backends.h"
#include "core/remote/registry_auth.h"
#include "core/remote/remote_manifest.h"

namespace coldstart {

namespace {

using Kind = RemoteError::Kind;

constexpr std::string_view blob_prefix = "blobs/sha256/";
constexpr const char* manifest_type = "application/vnd.oci.image.manifest.v1+json";
constexpr std::string_view snapshot_end = "_.snapshot";
constexpr size_t longest_tag = 128;
constexpr int most_pages = 1000;

std::string tag_of(const std::string& key) {
  const auto ref = parse_ref_key(key);
  if (!ref) throw Error("'" + key + "' is no key of a registry");
  std::string tag;
  for (const char c : ref->second.text()) {
    if (c == '_')
      tag += "__";
    else if (c == ':')
      tag += "_.";
    else if (c == '/')
      tag += "_-";
    else
      tag += c;
  }
  if (ref->first == RefKind::snapshot) tag += snapshot_end;
  if (tag.size() > longest_tag)
    throw Error::usage("'" + ref->second.text() + "' is too long for a registry", "give it a shorter name");
  return tag;
}

/// Nothing for a tag that is not ours.
std::optional<std::string> key_of(std::string_view tag) {
  RefKind kind = RefKind::image;
  if (tag.ends_with(snapshot_end)) {
    kind = RefKind::snapshot;
    tag.remove_suffix(snapshot_end.size());
  }
  std::string name;
  for (size_t i = 0; i < tag.size(); ++i) {
    if (tag[i] != '_') {
      name += tag[i];
      continue;
    }
    const char next = ++i < tag.size() ? tag[i] : '\0';
    if (next != '_' && next != '.' && next != '-') return std::nullopt;
    name += next == '_' ? '_' : next == '.' ? ':' : '/';
  }
  if (name.find(':') == std::string::npos) return std::nullopt;
  std::string key = ref_prefix(kind) + name;
  return parse_ref_key(key) ? std::optional(key) : std::nullopt;
}

class RegistryObjects final : public ObjectStore {
 public:
  RegistryObjects(const std::string& url, const RemoteOptions& options);

  std::string name() const override { return name_; }
  using ObjectStore::get;
  Bytes get(const std::string& key, std::optional<ByteRange> range, Freshness freshness) override;
  std::optional<uint64_t> size(const std::string& key) override;
  void put(const std::string& key, const ObjectSource& source) override;
  std::vector<std::string> list(const std::string& prefix) override;
  void remove(const std::string& key) override;

 private:
  std::string path_of(const std::string& key) const;
  std::string absolute(const std::string& location) const;
  HttpResponse ask(HttpRequest request, const std::string& access);
  void put_blob(const std::string& digest, const ObjectSource& source);
  RemoteError failure(const HttpResponse& response, const std::string& doing) const;

  std::string name_, registry_, base_, repository_;
  HttpClient client_;
  RegistryAuth auth_;
};

bool is_this_host(const std::string& registry) {
  const std::string host = registry.starts_with('[') ? registry.substr(0, registry.find(']') + 1)
                                                     : registry.substr(0, registry.find(':'));
  return host == "localhost" || host.starts_with("127.") || host == "[::1]";
}

std::string registry_of(const std::string& url) {
  const size_t start = url.find("://") + 3;
  const std::string host = url.substr(start, std::min(url.find('/', start), url.size()) - start);
  return host == "docker.io" ? "registry-1.docker.io" : host;
}

RegistryObjects::RegistryObjects(const std::string& url, const RemoteOptions& options)
    : name_(url), registry_(registry_of(url)), client_(url, options), auth_(registry_, client_) {
  const size_t slash = url.find('/', url.find("://") + 3);
  if (slash == std::string::npos || slash + 1 == url.size() || registry_.empty())
    throw Error::usage("'" + url + "' names no repository", "oci://REGISTRY/REPOSITORY");
  repository_ = url.substr(slash + 1);
  const bool plain = url.starts_with("oci+http://") || is_this_host(registry_);
  base_ = (plain ? "http://" : "https://") + registry_;
}

std::string RegistryObjects::path_of(const std::string& key) const {
  const std::string start = base_ + "/v2/" + encode_path(repository_);
  if (key.starts_with(blob_prefix)) return start + "/blobs/sha256:" + key.substr(blob_prefix.size());
  return start + "/manifests/" + tag_of(key);
}

std::string RegistryObjects::absolute(const std::string& location) const {
  return location.starts_with('/') ? base_ + location : location;
}

HttpResponse RegistryObjects::ask(HttpRequest request, const std::string& access) {
  const std::vector<std::string> headers = request.headers;
  for (int tries = 0;; ++tries) {
    const std::string authorization = auth_.header(access);
    request.headers = headers;
    if (!authorization.empty()) request.headers.push_back("Authorization: " + authorization);
    HttpResponse response = client_.perform(request);
    if (response.status != 401 || tries == 2) return response;
    const AuthChallenge challenge = AuthChallenge::parse(response.header("www-authenticate"));
    if (!auth_.answer(access, authorization, challenge, repository_)) return response;
  }
}

RemoteError RegistryObjects::failure(const HttpResponse& response, const std::string& doing) const {
  std::string code;
  try {
    const Json json = parse_json(as_text(response.body), "");
    code = json.at("errors").at(0).at("code").get<std::string>();
  } catch (const std::exception&) {
    // Not every server in between says it so.
  }
  std::string hint;
  if (response.status == 401)
    hint = "log in: docker login " + registry_;
  else if (response.status == 403)
    hint = "may this login use the repository " + repository_ + "?";
  else if (code == "NAME_UNKNOWN")
    hint = "is the repository's name right?";
  return http_failure(response, doing, code, hint);
}

Bytes RegistryObjects::get(const std::string& key, std::optional<ByteRange> range, Freshness freshness) {
  HttpRequest request;
  request.url = path_of(key);
  request.range = range;
  if (!key.starts_with(blob_prefix)) request.headers.push_back(std::string("Accept: ") + manifest_type);
  if (freshness == Freshness::origin) request.headers.emplace_back("Cache-Control: no-cache");
  HttpResponse response = ask(std::move(request), "pull");
  if (response.status != 200 && response.status != 206)
    throw failure(response, "cannot read " + name_ + "/" + key);
  return std::move(response.body);
}

std::optional<uint64_t> RegistryObjects::size(const std::string& key) {
  HttpRequest request;
  request.method = "HEAD";
  request.url = path_of(key);
  if (!key.starts_with(blob_prefix)) request.headers.push_back(std::string("Accept: ") + manifest_type);
  const HttpResponse response = ask(std::move(request), "pull");
  if (response.status == 404) return std::nullopt;
  if (response.status != 200) throw failure(response, "cannot look at " + name_ + "/" + key);
  return std::strtoull(response.header("content-length").c_str(), nullptr, 10);
}

void RegistryObjects::put_blob(const std::string& digest, const ObjectSource& source) {
  HttpRequest start;
  start.method = "POST";
  const ObjectSource nothing;
  start.body = &nothing;
  start.url = base_ + "/v2/" + encode_path(repository_) + "/blobs/uploads/";
  const HttpResponse opened = ask(std::move(start), "pull,push");
  const std::string location = absolute(opened.header("location"));
  if (opened.status != 202 || location.empty()) throw failure(opened, "cannot write to " + name_);
  HttpRequest request;
  request.method = "PUT";
  request.url = location + (location.find('?') == std::string::npos ? "?" : "&") + "digest=sha256:" + digest;
  request.headers = {"Content-Type: application/octet-stream"};
  request.body = &source;
  request.follow = false;
  const HttpResponse response = ask(std::move(request), "pull,push");
  if (response.status != 201 && response.status != 202 && response.status != 204)
    throw failure(response, "cannot write a blob to " + name_);
}

void RegistryObjects::put(const std::string& key, const ObjectSource& source) {
  if (key.starts_with(blob_prefix)) return put_blob(key.substr(blob_prefix.size()), source);
  // A manifest names a config, which must be there.
  const std::string_view empty = "{}";
  const std::string config = Digest::of(as_bytes(empty)).hex();
  if (!size(std::string(blob_prefix) + config)) put_blob(config, {as_bytes(empty), -1, 0, {}});
  HttpRequest request;
  request.method = "PUT";
  request.url = path_of(key);
  request.headers = {std::string("Content-Type: ") + manifest_type};
  request.body = &source;
  const HttpResponse response = ask(std::move(request), "pull,push");
  if (response.status != 201 && response.status != 202 && response.status != 200)
    throw failure(response, "cannot write " + name_ + "/" + key);
}

std::vector<std::string> RegistryObjects::list(const std::string& prefix) {
  std::vector<std::string> keys;
  std::string url = base_ + "/v2/" + encode_path(repository_) + "/tags/list?n=1000";
  for (int page = 0; page < most_pages && !url.empty(); ++page) {
    HttpRequest request;
    request.url = url;
    const HttpResponse response = ask(std::move(request), "pull");
    if (response.status == 404) break;  // a repository comes into being with its first push
    if (response.status != 200) throw failure(response, "cannot list " + name_);
    const Json json = parse_json(as_text(response.body), "the list of tags of " + name_);
    if (const auto tags = json.find("tags"); tags != json.end() && tags->is_array())
      for (const Json& tag : *tags)
        if (const auto key = tag.is_string() ? key_of(tag.get<std::string>()) : std::nullopt;
            key && key->starts_with(prefix))
          keys.push_back(*key);
    // Link: </v2/…/tags/list?last=…>; rel="next"
    const std::string link = response.header("link");
    const size_t open = link.find('<'), close = link.find('>');
    url = open != std::string::npos && close != std::string::npos
              ? absolute(link.substr(open + 1, close - open - 1))
              : std::string();
  }
  std::sort(keys.begin(), keys.end());
  return keys;
}

/// A tag is removed by the digest of its manifest.
void RegistryObjects::remove(const std::string& key) {
  HttpRequest request;
  request.url = path_of(key);
  if (!key.starts_with(blob_prefix)) {
    HttpRequest look;
    look.method = "HEAD";
    look.url = request.url;
    look.headers = {std::string("Accept: ") + manifest_type};
    const HttpResponse found = ask(std::move(look), "pull");
    if (found.status == 404) return;
    request.url =
        base_ + "/v2/" + encode_path(repository_) + "/manifests/" + found.header("docker-content-digest");
  }
  request.method = "DELETE";
  const HttpResponse response = ask(std::move(request), "pull,push,delete");
  if (response.status != 202 && response.status != 200 && response.status != 404)
    throw failure(response, "cannot remove " + name_ + "/" + key);
}

}  // namespace

std::shared_ptr<ObjectStore> open_registry_objects(const std::string& url, const RemoteOptions& options) {
  return std::make_shared<RegistryObjects>(url, options);
}

}  // namespace coldstart
