// SPDX-License-Identifier: Apache-2.0
#include "core/remote/object_store.h"

#include <filesystem>

#include "core/remote/backends.h"

namespace coldstart {

namespace fs = std::filesystem;

namespace {

Exit exit_of(RemoteError::Kind kind) {
  switch (kind) {
    case RemoteError::Kind::absent:
      return Exit::not_found;
    case RemoteError::Kind::denied:
      return Exit::missing;
    default:
      return Exit::failed;
  }
}

/// A password in a URL would end up in process lists, logs and in our store.
void refuse_password(const std::string& url) {
  const size_t host = url.find("://");
  if (host == std::string::npos) return;
  const size_t end = std::min(url.find('/', host + 3), url.size());
  if (url.substr(host + 3, end - host - 3).find('@') != std::string::npos)
    throw Error::usage("a remote's URL holds no user and no password",
                       "s3: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or ~/.aws; oci: docker login");
  if (url.find_first_of("?#") != std::string::npos)
    throw Error::usage("a remote's URL has no '?' and no '#'");
}

std::shared_ptr<ObjectStore> open_plain(const std::string& url, const RemoteOptions& options) {
  if (url.starts_with("file:")) {
    std::string path = url.substr(5);
    if (path.starts_with("//")) path.erase(0, 2);
    if (!path.starts_with('/')) throw Error::usage("'" + url + "' names no absolute path", "file:/PATH");
    return open_file_objects(path);
  }
  refuse_password(url);
  if (url.starts_with("http://") || url.starts_with("https://")) return open_http_objects(url, options);
  if (url.starts_with("s3://")) return open_s3_objects(url, options);
  if (url.starts_with("oci://") || url.starts_with("oci+http://")) return open_registry_objects(url, options);
  throw Error::usage("'" + url + "' is no remote",
                     "file:/PATH, https://HOST/PATH, s3://BUCKET/PREFIX or oci://REGISTRY/REPOSITORY");
}

}  // namespace

RemoteError::RemoteError(Kind kind, std::string what, std::string hint)
    : Error(std::move(what), std::move(hint), exit_of(kind)), kind_(kind) {}

std::string normal_url(const std::string& url) {
  std::string normal = url;
  if (url.starts_with('/') || url.starts_with('.')) {
    normal = "file:" + fs::absolute(url).lexically_normal().string();
  } else if (url.starts_with("file:") && !url.starts_with("file:/")) {
    normal = "file:" + fs::absolute(url.substr(5)).lexically_normal().string();
  }
  while (normal.ends_with('/') && !normal.ends_with(":/") && !normal.ends_with("//")) normal.pop_back();
  return normal;
}

std::shared_ptr<ObjectStore> open_object_store(const std::string& url, const RemoteOptions& options) {
  std::shared_ptr<ObjectStore> store = open_plain(url, options);
  if (options.bytes_per_second > 0)
    store = with_limit(std::move(store), options.bytes_per_second, options.cancel);
  store = with_retry(std::move(store), options);
  if (options.near.empty()) return store;
  const std::string near = normal_url(options.near);
  if (near.starts_with("file:")) return with_near_folder(std::move(store), near.substr(5));
  return with_near(std::move(store), open_plain(near, options));
}

}  // namespace coldstart
