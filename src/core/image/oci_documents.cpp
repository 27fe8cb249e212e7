// SPDX-License-Identifier: Apache-2.0
#include "core/image/oci_documents.h"

#include <algorithm>

#include <fmt/format.h>

#include "core/base/json.h"
#include "core/image/path.h"

namespace coldstart {

namespace {

constexpr size_t most_layers = 1000;  // docker builds at most 127
constexpr size_t most_manifests = 10000;
constexpr const char* reference_key = "org.opencontainers.image.ref.name";

using Texts = std::vector<std::string>;

/// Fields that are empty may as well be null, or left out.
template <class T>
T optional_field(const Json& object, const char* key, const std::string& document) {
  const auto found = object.find(key);
  return found == object.end() || found->is_null() ? T() : field<T>(object, key, document);
}

Json parse_object(std::string_view text, const std::string& document) {
  Json json = parse_json(text, document);
  if (!json.is_object()) throw Error::corrupt(document + " is no JSON object");
  return json;
}

Digest digest_of(const std::string& text, const std::string& document) {
  const auto digest = Digest::parse(text);
  if (!digest || !text.starts_with("sha256:"))
    throw Error::corrupt(document + ": '" + shown(text) + "' is no SHA-256 digest");
  return *digest;
}

OciDescriptor descriptor(const Json& json, const std::string& document) {
  OciDescriptor d;
  if (!json.is_object()) throw Error::corrupt(document + ": a descriptor is no object");
  d.media_type = optional_field<std::string>(json, "mediaType", document);
  d.digest = digest_of(field<std::string>(json, "digest", document), document);
  d.size = field<uint64_t>(json, "size", document);
  if (const Json platform = optional_field<Json>(json, "platform", document); platform.is_object())
    d.platform = OciPlatform{optional_field<std::string>(platform, "os", document),
                             optional_field<std::string>(platform, "architecture", document)};
  if (const Json notes = optional_field<Json>(json, "annotations", document); notes.is_object())
    d.reference = optional_field<std::string>(notes, reference_key, document);
  return d;
}

std::vector<OciDescriptor> descriptors(const Json& json, const char* key, size_t most,
                                       const std::string& document) {
  std::vector<OciDescriptor> result;
  const Json list = field<Json>(json, key, document);
  if (!list.is_array()) throw Error::corrupt(document + ": the field '" + key + "' is no list");
  if (list.size() > most) throw Error::corrupt(fmt::format("{}: more than {} {}", document, most, key));
  for (const Json& one : list) result.push_back(descriptor(one, document));
  return result;
}

}  // namespace

OciPlatform OciPlatform::host() {
#if defined(__x86_64__)
  return {"linux", "amd64"};
#elif defined(__aarch64__)
  return {"linux", "arm64"};
#else
#error "how do OCI images call this architecture?"
#endif
}

OciPlatform OciPlatform::parse(std::string_view text) {
  const size_t slash = text.find('/');
  if (slash == text.npos || slash == 0 || slash + 1 == text.size() || text.find('/', slash + 1) != text.npos)
    throw Error::usage(fmt::format("the platform '{}' is not OS/ARCHITECTURE", text), "such as linux/amd64");
  return {std::string(text.substr(0, slash)), std::string(text.substr(slash + 1))};
}

OciManifest OciManifest::parse(std::string_view text, const std::string& document) {
  const Json json = parse_object(text, document);
  OciManifest m;
  m.is_index = json.contains("manifests");
  if (m.is_index) {
    m.manifests = descriptors(json, "manifests", most_manifests, document);
    return m;
  }
  if (!json.contains("layers"))
    throw Error::corrupt(document + " has neither layers nor manifests: it is no image that we can read");
  m.config = descriptor(field<Json>(json, "config", document), document);
  m.layers = descriptors(json, "layers", most_layers, document);
  for (const OciDescriptor& layer : m.layers)
    if (layer.media_type.find("tar") == std::string::npos || layer.media_type.ends_with("+encrypted"))
      throw Error::corrupt(document + ": '" + shown(layer.media_type) + "' is no layer of a file system");
  return m;
}

OciConfig OciConfig::parse(std::string_view text, const std::string& document) {
  const Json json = parse_object(text, document);
  OciConfig c;
  c.platform = {optional_field<std::string>(json, "os", document),
                optional_field<std::string>(json, "architecture", document)};
  const Json rootfs = field<Json>(json, "rootfs", document);
  for (const auto& digest : optional_field<Texts>(rootfs, "diff_ids", document))
    c.layers.push_back(digest_of(digest, document));
  const Json start = optional_field<Json>(json, "config", document);
  if (start.is_null()) return c;
  c.config.environment = optional_field<Texts>(start, "Env", document);
  c.config.entrypoint = optional_field<Texts>(start, "Entrypoint", document);
  c.config.command = optional_field<Texts>(start, "Cmd", document);
  c.config.user = optional_field<std::string>(start, "User", document);
  c.config.folder = optional_field<std::string>(start, "WorkingDir", document);
  const auto is_no_variable = [](const std::string& v) { return v.find('=') == v.npos || v[0] == '='; };
  std::erase_if(c.config.environment, is_no_variable);  // some builders leave "" behind
  return c;
}

std::vector<DockerArchiveImage> DockerArchiveImage::parse(std::string_view text,
                                                          const std::string& document) {
  const Json json = parse_json(text, document);
  if (!json.is_array() || json.empty()) throw Error::corrupt(document + " is no list of images");
  std::vector<DockerArchiveImage> images;
  for (const Json& one : json) {
    DockerArchiveImage image;
    if (!one.is_object()) throw Error::corrupt(document + ": an image is no object");
    image.config = field<std::string>(one, "Config", document);
    image.names = optional_field<Texts>(one, "RepoTags", document);
    image.layers = optional_field<Texts>(one, "Layers", document);
    if (image.layers.size() > most_layers)
      throw Error::corrupt(fmt::format("{}: more than {} layers", document, most_layers));
    images.push_back(std::move(image));
  }
  return images;
}

}  // namespace coldstart
