// SPDX-License-Identifier: Apache-2.0
// One image of an OCI layout: index.json leads to it by digests, and every blob is checked against its own.
#include <algorithm>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/image/layered_source.h"
#include "core/image/path.h"

namespace coldstart {

namespace fs = std::filesystem;

namespace {

constexpr size_t most_document_bytes = size_t{4} << 20;
constexpr int deepest_index = 4;

class Layout {
 public:
  Layout(fs::path folder, OciPlatform platform)
      : folder_(std::move(folder)), platform_(std::move(platform)) {}

  std::unique_ptr<TreeSource> image(const std::string& reference) const {
    const std::string shown_as =
        "the OCI image " + folder_.string() + (reference.empty() ? "" : ":" + reference);
    try {
      OciDescriptor at = find(reference);
      OciManifest manifest = read_manifest(at);
      for (int depth = 0; manifest.is_index; ++depth) {
        if (depth == deepest_index) throw Error::corrupt("its indexes are nested too deeply");
        at = choose(manifest.manifests);
        manifest = read_manifest(at);
      }
      return source(manifest, shown_as);
    } catch (const Error& e) {
      throw e.in(shown_as);
    }
  }

 private:
  OciDescriptor find(const std::string& reference) const {
    std::error_code ignored;
    if (!fs::exists(folder_ / "index.json", ignored))
      throw Error("there is no index.json: this is no OCI layout",
                  "skopeo copy docker://IMAGE oci:DIR:TAG makes one");
    const OciManifest index =
        OciManifest::parse(read_text(folder_ / "index.json", most_document_bytes), "index.json");
    std::vector<OciDescriptor> named;
    for (const OciDescriptor& d : index.manifests)
      if (reference.empty() || d.reference == reference || d.digest.text() == reference) named.push_back(d);
    if (named.empty() && !reference.empty())
      throw Error::not_found("there is no image of that name", "there are: " + names(index.manifests));
    if (named.size() > 1 && reference.empty() &&
        std::none_of(named.begin(), named.end(), [](const auto& d) { return d.platform.has_value(); }))
      throw Error::usage("it holds several images",
                         "say which one, as in oci:" + folder_.string() + ":" + names(named));
    return named.size() == 1 ? named[0] : choose(named);
  }

  static std::string names(const std::vector<OciDescriptor>& images) {
    std::vector<std::string> texts;
    texts.reserve(images.size());
    for (const OciDescriptor& d : images)
      texts.push_back(d.reference.empty() ? d.digest.text() : shown(d.reference));
    return fmt::format("{}", fmt::join(texts, ", "));
  }

  OciDescriptor choose(const std::vector<OciDescriptor>& images) const {
    std::vector<std::string> others;
    for (const OciDescriptor& d : images) {
      if (d.platform == platform_ || (!d.platform && images.size() == 1)) return d;
      if (d.platform && d.platform->os != "unknown") others.push_back(shown(d.platform->text()));
    }
    throw Error("it has no image for " + platform_.text(),
                others.empty() ? "" : fmt::format("it has images for {}", fmt::join(others, ", ")));
  }

  fs::path path_of(const Digest& digest) const { return folder_ / "blobs" / "sha256" / digest.hex(); }

  /// Not the FIFO or device that somebody may have put there.
  Fd open_blob(const OciDescriptor& d) const {
    const fs::path path = path_of(d.digest);
    Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    if (!fd && errno == ENOENT) throw Error::corrupt("the blob " + d.digest.text() + " is missing");
    if (!fd) throw Error::sys("cannot open " + path.string());
    struct stat st {};
    check(::fstat(fd.get(), &st), "cannot stat " + path.string());
    if (!S_ISREG(st.st_mode) || static_cast<uint64_t>(st.st_size) != d.size)
      throw Error::corrupt(fmt::format("the blob {} has {} bytes, not the {} of its descriptor",
                                       d.digest.text(), st.st_size, d.size));
    return fd;
  }

  std::string read_document(const OciDescriptor& d) const {
    if (d.size > most_document_bytes)
      throw Error::corrupt("the document " + d.digest.text() + " is too large to be one");
    std::string text(d.size, '\0');
    const Fd fd = open_blob(d);
    text.resize(read_full(fd.get(), std::as_writable_bytes(std::span(text))));
    if (Digest::of(as_bytes(text)) != d.digest)
      throw Error::corrupt("the blob " + d.digest.text() +
                           " is damaged: its bytes are not those of its digest");
    return text;
  }

  OciManifest read_manifest(const OciDescriptor& d) const {
    return OciManifest::parse(read_document(d), "the manifest " + d.digest.text());
  }

  std::unique_ptr<TreeSource> source(const OciManifest& manifest, const std::string& shown_as) const {
    const OciConfig config =
        OciConfig::parse(read_document(manifest.config), "the config " + manifest.config.digest.text());
    if (config.platform != platform_)
      throw Error("it is for " + shown(config.platform.text()) + ", not for " + platform_.text(),
                  "--platform says for which platform an image is wanted");
    if (config.layers.size() != manifest.layers.size())
      throw Error::corrupt("its config speaks of another number of layers than its manifest");
    std::vector<ImageLayer> layers;
    for (size_t i = 0; i < manifest.layers.size(); ++i) {
      const OciDescriptor& d = manifest.layers[i];
      const std::string name = "the layer " + d.digest.text();
      layers.push_back({name, d.size,
                        [layout = *this, d, name]() -> ByteInput {
                          const auto fd = std::make_shared<const Fd>(layout.open_blob(d));
                          return [fd, read = input_of_fd(fd->get(), name)](auto into, const auto& cancel) {
                            return read(into, cancel);
                          };
                        },
                        d.digest, config.layers[i]});
    }
    return make_layered_source(shown_as, std::move(layers), config.config);
  }

  fs::path folder_;
  OciPlatform platform_;
};

}  // namespace

std::unique_ptr<TreeSource> open_oci_source(const fs::path& folder, const std::string& reference,
                                            const OciPlatform& platform) {
  return Layout(fs::absolute(folder), platform).image(reference);
}

}  // namespace coldstart
