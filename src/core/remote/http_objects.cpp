// SPDX-License-Identifier: Apache-2.0
// Any web server that serves a folder (which was pushed to as file:).

#include "core/remote/backends.h"
#include "core/remote/http_client.h"

namespace coldstart {

namespace {

using Kind = RemoteError::Kind;

class HttpObjects final : public ObjectStore {
 public:
  HttpObjects(std::string url, const RemoteOptions& options) : url_(std::move(url)), client_(url_, options) {}

  std::string name() const override { return url_; }
  using ObjectStore::get;

  Bytes get(const std::string& key, std::optional<ByteRange> range, Freshness freshness) override {
    HttpRequest request = request_for("GET", key);
    request.range = range;
    if (freshness == Freshness::origin) request.headers.emplace_back("Cache-Control: no-cache");
    HttpResponse response = client_.perform(request);
    if (response.status != 200 && response.status != 206)
      throw http_failure(response, "cannot read " + request.url);
    return std::move(response.body);
  }

  std::optional<uint64_t> size(const std::string& key) override {
    const HttpRequest request = request_for("HEAD", key);
    const HttpResponse response = client_.perform(request);
    if (response.status == 404 || response.status == 410) return std::nullopt;
    if (response.status != 200) throw http_failure(response, "cannot look at " + request.url);
    return std::strtoull(response.header("content-length").c_str(), nullptr, 10);
  }

  void put(const std::string&, const ObjectSource&) override { read_only(); }
  void remove(const std::string&) override { read_only(); }

  std::vector<std::string> list(const std::string&) override {
    throw RemoteError(Kind::refused, "the web server " + url_ + " cannot tell what it has",
                      "name the image or snapshot: " + url_ + "/NAME:TAG");
  }

 private:
  HttpRequest request_for(const char* method, const std::string& key) const {
    HttpRequest request;
    request.method = method;
    request.url = url_ + "/" + encode_path(key);
    return request;
  }
  [[noreturn]] void read_only() const {
    throw RemoteError(Kind::refused, url_ + " is a web server, which can only be read",
                      "push to the folder that it serves, to s3:// or to oci://");
  }

  const std::string url_;
  HttpClient client_;
};

}  // namespace

std::shared_ptr<ObjectStore> open_http_objects(const std::string& url, const RemoteOptions& options) {
  return std::make_shared<HttpObjects>(url, options);
}

}  // namespace coldstart
