// SPDX-License-Identifier: Apache-2.0
#pragma once
// The places that keep objects, and the wrappers: what open_object_store() puts together.

#include <filesystem>

#include "core/remote/object_store.h"

namespace coldstart {

std::shared_ptr<ObjectStore> open_file_objects(const std::filesystem::path& folder);
/// Read-only: any web server. One that does not know ranges is served by skipping, which is slow.
std::shared_ptr<ObjectStore> open_http_objects(const std::string& url, const RemoteOptions& options);
/// Credentials and region as the AWS tools find them: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY,
/// AWS_SESSION_TOKEN, AWS_REGION, AWS_ENDPOINT_URL, AWS_PROFILE, ~/.aws/credentials, ~/.aws/config. With an
/// endpoint the bucket stands in the path, without one in the host name.
std::shared_ptr<ObjectStore> open_s3_objects(const std::string& url, const RemoteOptions& options);
/// Credentials as docker finds them: $DOCKER_CONFIG/config.json or ~/.docker/config.json, its helpers
/// included. Plain HTTP for oci+http:// and for a registry on this host.
std::shared_ptr<ObjectStore> open_registry_objects(const std::string& url, const RemoteOptions& options);

/// Tries again what may succeed then, ever more slowly, until the deadline.
std::shared_ptr<ObjectStore> with_retry(std::shared_ptr<ObjectStore> inner, const RemoteOptions& options);
/// Not more than so many bytes a second, both ways together.
std::shared_ptr<ObjectStore> with_limit(std::shared_ptr<ObjectStore> inner, uint64_t bytes_per_second,
                                        const CancelToken* cancel);
/// Keeps what is read of blobs in a folder, which several hosts may share, by blocks of 1 MiB.
std::shared_ptr<ObjectStore> with_near_folder(std::shared_ptr<ObjectStore> inner,
                                              const std::filesystem::path& folder);
/// Asks `near` for blobs first; what it cannot give comes from `inner`.
std::shared_ptr<ObjectStore> with_near(std::shared_ptr<ObjectStore> inner, std::shared_ptr<ObjectStore> near);

}  // namespace coldstart
