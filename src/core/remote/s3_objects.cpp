// SPDX-License-Identifier: Apache-2.0
// An S3 bucket, or a part of one; requests signed (version 4) by libcurl.

#include <algorithm>
#include <mutex>

#include <fmt/format.h>

#include "core/remote/aws_access.h"
#include "core/remote/backends.h"
#include "core/remote/http_client.h"
#include "core/store/digest.h"

namespace coldstart {

namespace {

using Kind = RemoteError::Kind;

constexpr std::string_view blob_prefix = "blobs/sha256/";

/// The text of the first <name>…</name> in `xml` from `at` on, which moves behind it.
std::optional<std::string> xml_text(std::string_view xml, std::string_view name, size_t& at) {
  const std::string open = fmt::format("<{}>", name), close = fmt::format("</{}>", name);
  const size_t start = xml.find(open, at);
  if (start == std::string_view::npos) return std::nullopt;
  const size_t end = xml.find(close, start);
  if (end == std::string_view::npos) return std::nullopt;
  at = end + close.size();
  std::string text(xml.substr(start + open.size(), end - start - open.size()));
  for (const auto& [entity, character] :
       {std::pair{"&lt;", "<"}, {"&gt;", ">"}, {"&quot;", "\""}, {"&apos;", "'"}, {"&amp;", "&"}})
    for (size_t found = 0; (found = text.find(entity, found)) != std::string::npos; ++found)
      text.replace(found, std::string_view(entity).size(), character);
  return text;
}

std::string xml_text(std::string_view xml, std::string_view name) {
  size_t at = 0;
  return xml_text(xml, name, at).value_or("");
}

class S3Objects final : public ObjectStore {
 public:
  S3Objects(const std::string& url, const RemoteOptions& options);

  std::string name() const override { return name_; }
  using ObjectStore::get;
  Bytes get(const std::string& key, std::optional<ByteRange> range, Freshness freshness) override;
  std::optional<uint64_t> size(const std::string& key) override;
  void put(const std::string& key, const ObjectSource& source) override;
  std::vector<std::string> list(const std::string& prefix) override;
  void remove(const std::string& key) override;

 private:
  HttpResponse ask(HttpRequest request, const std::string& path, const std::string& query,
                   const std::string& payload_digest);
  std::string url_of(const AwsAccess& access, const std::string& path, const std::string& query) const;
  std::string path_of(const std::string& key) const { return prefix_ + key; }
  RemoteError failure(const HttpResponse& response, const std::string& doing) const;
  AwsAccess access();
  bool find_access_again(const AwsAccess& used);

  std::string name_, bucket_, prefix_;  // prefix_ ends with '/', unless empty
  HttpClient client_;
  std::mutex mutex_;  // guards access_
  AwsAccess access_;
};

S3Objects::S3Objects(const std::string& url, const RemoteOptions& options)
    : name_(url), client_(url, options), access_(AwsAccess::find()) {
  const std::string path = url.substr(std::string_view("s3://").size());
  const size_t slash = std::min(path.find('/'), path.size());
  bucket_ = path.substr(0, slash);
  if (slash < path.size()) prefix_ = path.substr(slash + 1) + "/";
  if (bucket_.empty()) throw Error::usage("'" + url + "' names no bucket", "s3://BUCKET/PREFIX");
}

AwsAccess S3Objects::access() {
  const std::lock_guard lock(mutex_);
  return access_;
}

/// Temporary credentials end; whoever renews them writes the files anew.
bool S3Objects::find_access_again(const AwsAccess& used) {
  const AwsAccess now = AwsAccess::find();
  const std::lock_guard lock(mutex_);
  access_ = now;
  return !(now == used);
}

std::string S3Objects::url_of(const AwsAccess& access, const std::string& path,
                              const std::string& query) const {
  std::string url;
  if (!access.endpoint.empty())
    url = access.endpoint + "/" + encode_path(bucket_);
  else if (bucket_.find('.') != std::string::npos)  // would not match the server's certificate
    url = "https://s3." + access.region + ".amazonaws.com/" + encode_path(bucket_);
  else
    url = "https://" + bucket_ + ".s3." + access.region + ".amazonaws.com";
  if (!path.empty()) url += "/" + encode_path(path);
  if (path.empty() && access.endpoint.empty()) url += "/";
  return query.empty() ? url : url + "?" + query;
}

HttpResponse S3Objects::ask(HttpRequest request, const std::string& path, const std::string& query,
                            const std::string& payload_digest) {
  const std::vector<std::string> headers = request.headers;
  for (bool again = false;; again = true) {
    const AwsAccess access = this->access();
    request.url = url_of(access, path, query);
    request.follow = false;  // a signature is for one host
    request.headers = headers;
    if (!access.key_id.empty()) {
      request.sigv4 = "aws:amz:" + access.region + ":s3";
      request.user = access.key_id;
      request.password = access.secret;
      request.headers.push_back("x-amz-content-sha256: " + payload_digest);
      if (!access.session_token.empty())
        request.headers.push_back("x-amz-security-token: " + access.session_token);
    }
    HttpResponse response = client_.perform(request);
    if ((response.status == 400 || response.status == 403) && !again && find_access_again(access)) continue;
    return response;
  }
}

RemoteError S3Objects::failure(const HttpResponse& response, const std::string& doing) const {
  const std::string_view body = as_text(response.body);
  const std::string code = xml_text(body, "Code");
  std::string hint;
  if (code == "NoSuchBucket")
    hint = "is the bucket's name right, and AWS_ENDPOINT_URL where the server is not Amazon's?";
  else if (code == "ExpiredToken")
    hint = "the credentials have expired: get new ones";
  else if (code == "InvalidAccessKeyId" || code == "SignatureDoesNotMatch")
    hint = "see AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or ~/.aws/credentials";
  else if (code == "RequestTimeTooSkewed")
    hint = "set this machine's clock";
  else if (code == "PermanentRedirect" || code == "AuthorizationHeaderMalformed" || response.status == 301 ||
           response.status == 307)
    hint = "the bucket may be in another region: set AWS_REGION";
  else if (response.status == 401 || response.status == 403)
    hint = "may these credentials use the bucket? AWS_ACCESS_KEY_ID, AWS_PROFILE or ~/.aws say who you are";
  RemoteError error = http_failure(response, doing, code, hint);
  // "The server answers 404" about a bucket is another thing than about an object in it.
  if (code == "NoSuchBucket") return {Kind::refused, error.message(), hint};
  if (code == "ExpiredToken") return {Kind::denied, error.message(), hint};
  if (code == "RequestTimeout") return {Kind::transient, error.message(), hint};
  return error;
}

/// The digest of nothing: what a request without a body is signed with.
std::string no_payload() {
  return Digest::of({}).hex();
}

Bytes S3Objects::get(const std::string& key, std::optional<ByteRange> range, Freshness) {
  HttpRequest request;
  request.range = range;
  HttpResponse response = ask(std::move(request), path_of(key), "", no_payload());
  if (response.status != 200 && response.status != 206)
    throw failure(response, "cannot read " + name_ + "/" + key);
  return std::move(response.body);
}

std::optional<uint64_t> S3Objects::size(const std::string& key) {
  HttpRequest request;
  request.method = "HEAD";
  const HttpResponse response = ask(std::move(request), path_of(key), "", no_payload());
  if (response.status == 404) return std::nullopt;
  if (response.status != 200) throw failure(response, "cannot look at " + name_ + "/" + key);
  return std::strtoull(response.header("content-length").c_str(), nullptr, 10);
}

void S3Objects::put(const std::string& key, const ObjectSource& source) {
  HttpRequest request;
  request.method = "PUT";
  request.body = &source;
  request.headers = {"Content-Type: application/octet-stream"};
  // A blob's name is its digest; anything else is small.
  const std::string digest = key.starts_with(blob_prefix) ? key.substr(blob_prefix.size())
                             : source.fd >= 0             ? std::string("UNSIGNED-PAYLOAD")
                                                          : Digest::of(source.bytes).hex();
  const HttpResponse response = ask(std::move(request), path_of(key), "", digest);
  if (response.status != 200 && response.status != 201)
    throw failure(response, "cannot write " + name_ + "/" + key);
}

std::vector<std::string> S3Objects::list(const std::string& prefix) {
  std::vector<std::string> keys;
  std::string token;
  do {
    // Sorted and encoded, as the signature wants it.
    std::string query = token.empty() ? "" : "continuation-token=" + encode_query(token) + "&";
    query += "list-type=2&prefix=" + encode_query(path_of(prefix));
    const HttpResponse response = ask({}, "", query, no_payload());
    if (response.status != 200) throw failure(response, "cannot list " + name_);
    const std::string_view xml = as_text(response.body);
    size_t at = 0;
    while (const auto key = xml_text(xml, "Key", at))
      if (key->starts_with(prefix_)) keys.push_back(key->substr(prefix_.size()));
    token = xml_text(xml, "IsTruncated") == "true" ? xml_text(xml, "NextContinuationToken") : "";
  } while (!token.empty());
  std::sort(keys.begin(), keys.end());
  return keys;
}

void S3Objects::remove(const std::string& key) {
  HttpRequest request;
  request.method = "DELETE";
  const HttpResponse response = ask(std::move(request), path_of(key), "", no_payload());
  if (response.status != 204 && response.status != 200 && response.status != 404)
    throw failure(response, "cannot remove " + name_ + "/" + key);
}

}  // namespace

std::shared_ptr<ObjectStore> open_s3_objects(const std::string& url, const RemoteOptions& options) {
  return std::make_shared<S3Objects>(url, options);
}

}  // namespace coldstart
