// SPDX-License-Identifier: Apache-2.0
#include "core/remote/remote_manifest.h"

#include "core/base/json.h"

namespace coldstart {

namespace {

constexpr const char* media_type = "application/vnd.oci.image.manifest.v1+json";
constexpr const char* index_type = "application/vnd.coldstart.index.v1";
constexpr const char* metadata_type = "application/vnd.coldstart.metadata.v1.pack";
constexpr const char* pack_type = "application/vnd.coldstart.v1.pack";
constexpr const char* version_key = "coldstart.remote.version";
constexpr const char* version = "1";

const char* kind_name(RefKind kind) {
  return kind == RefKind::image ? "image" : "snapshot";
}

Json descriptor(const char* type, const BlobName& blob) {
  return {{"mediaType", type}, {"digest", blob.digest.text()}, {"size", blob.bytes}};
}

Digest digest_of(const std::string& text, const std::string& document) {
  const auto digest = Digest::parse(text);
  if (!digest) throw Error::corrupt(document + ": '" + text + "' is no digest");
  return *digest;
}

BlobName blob_of(const Json& layer, const std::string& document) {
  return {digest_of(field<std::string>(layer, "digest", document), document),
          field<uint64_t>(layer, "size", document)};
}

}  // namespace

std::string RemoteManifest::to_json() const {
  Json layers = Json::array({descriptor(index_type, index), descriptor(metadata_type, metadata)});
  for (const BlobName& pack : packs) layers.push_back(descriptor(pack_type, pack));
  const std::string type = std::string("application/vnd.coldstart.") + kind_name(kind) + ".v1+json";
  const std::string_view empty = "{}";
  const Json json = {{"schemaVersion", 2},
                     {"mediaType", media_type},
                     {"config", descriptor(type.c_str(), {Digest::of(as_bytes(empty)), empty.size()})},
                     {"layers", std::move(layers)},
                     {"annotations",
                      {{version_key, version},
                       {"coldstart.kind", kind_name(kind)},
                       {"coldstart.reference", reference.text()},
                       {"coldstart.digest", digest.text()}}}};
  return json.dump();
}

RemoteManifest RemoteManifest::from_json(std::string_view text, const std::string& document) {
  const Json json = parse_json(text, document);
  const auto annotations = json.find("annotations");
  if (annotations == json.end() || !annotations->is_object() || !annotations->contains(version_key))
    throw Error::corrupt(document + " is not one of coldstart's",
                         "an image for docker: coldstart image pack oci:DIR, made by skopeo copy");
  if (const auto v = field<std::string>(*annotations, version_key, document); v != version)
    throw Error::corrupt(document + " has the version " + v, "use a newer coldstart");
  const auto note = [&](const char* key) { return field<std::string>(*annotations, key, document); };
  RemoteManifest m;
  const std::string kind = note("coldstart.kind");
  if (kind != "image" && kind != "snapshot")
    throw Error::corrupt(document + ": '" + kind + "' is no kind", "use a newer coldstart");
  m.kind = kind == "image" ? RefKind::image : RefKind::snapshot;
  m.reference = RefName::parse(note("coldstart.reference"));
  m.digest = digest_of(note("coldstart.digest"), document);
  bool index = false, metadata = false;
  for (const Json& layer : field<Json>(json, "layers", document)) {
    const auto type = field<std::string>(layer, "mediaType", document);
    const BlobName blob = blob_of(layer, document);
    if (type == index_type) {
      m.index = blob;
      index = true;
    } else if (type == metadata_type) {
      m.metadata = blob;
      metadata = true;
    } else {
      m.packs.push_back(blob);
    }
  }
  if (!index || !metadata) throw Error::corrupt(document + " names no index or no metadata");
  return m;
}

std::string blob_key(const Digest& digest) {
  return "blobs/sha256/" + digest.hex();
}

std::string ref_prefix(RefKind kind) {
  return std::string("refs/") + kind_name(kind) + "s/";
}

std::string ref_key(RefKind kind, const RefName& name) {
  return ref_prefix(kind) + name.text();
}

std::optional<std::pair<RefKind, RefName>> parse_ref_key(std::string_view key) {
  for (const RefKind kind : {RefKind::image, RefKind::snapshot}) {
    const std::string prefix = ref_prefix(kind);
    if (!key.starts_with(prefix)) continue;
    try {
      return {{kind, RefName::parse(key.substr(prefix.size()))}};
    } catch (const Error&) {
      return std::nullopt;
    }
  }
  return std::nullopt;
}

}  // namespace coldstart
