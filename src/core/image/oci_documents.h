// SPDX-License-Identifier: Apache-2.0
#pragma once
// The JSON documents of OCI images (image-spec 1.1) and of what `docker save` writes: from outside, so all is
// checked, and what cannot be used is an Error::corrupt that names the document.
//
//   index.json ─► (index ─►) manifest ─► config: how to start it, for which platform
//                                     └► layers: tars, applied in order

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/image/image_config.h"
#include "core/store/digest.h"

namespace coldstart {

struct OciPlatform {
  std::string os;
  std::string architecture;  ///< as Go calls it: "amd64", "arm64"

  /// What programs on this host are made for.
  static OciPlatform host();
  /// "OS/ARCHITECTURE"; throws Error::usage.
  static OciPlatform parse(std::string_view text);
  std::string text() const { return os + "/" + architecture; }
  bool operator==(const OciPlatform&) const = default;
};

/// Something by its digest.
struct OciDescriptor {
  std::string media_type;  ///< may be empty
  Digest digest;
  uint64_t size = 0;  ///< bytes
  std::optional<OciPlatform> platform;
  std::string reference;  ///< what the layout calls it, or empty
};

/// An index, or an image's manifest: what a digest leads to says itself which one it is.
struct OciManifest {
  bool is_index = false;
  std::vector<OciDescriptor> manifests;  ///< of an index
  OciDescriptor config;                  ///< of a manifest, as the next one
  std::vector<OciDescriptor> layers;     ///< lowest first

  static OciManifest parse(std::string_view text, const std::string& document);
};

struct OciConfig {
  ImageConfig config;
  OciPlatform platform;
  std::vector<Digest> layers;  ///< digests of the uncompressed tars, lowest first

  static OciConfig parse(std::string_view text, const std::string& document);
};

/// One image of a docker archive; names are members of the archive.
struct DockerArchiveImage {
  std::string config;
  std::vector<std::string> names;
  std::vector<std::string> layers;

  /// manifest.json: all images in the archive.
  static std::vector<DockerArchiveImage> parse(std::string_view text, const std::string& document);
};

}  // namespace coldstart
