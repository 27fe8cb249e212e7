// SPDX-License-Identifier: Apache-2.0
#include "core/image/layered_source.h"

#include <algorithm>

#include "core/base/error.h"
#include "core/base/log.h"
#include "core/image/path.h"

namespace coldstart {

namespace {

constexpr std::string_view whiteout = ".wh.";
constexpr std::string_view own_of_aufs = ".wh..wh.";
constexpr std::string_view opaque = ".wh..wh..opq";

/// The bytes of a layer on their way: stored ─► hashed ─► decompressed ─► hashed ─► tar.
class LayerBytes {
 public:
  LayerBytes(const ImageLayer& layer, const CancelToken& cancel)
      : layer_(layer),
        cancel_(cancel),
        input_(layer.open()),
        plain_(
            ArchiveReader::Format::raw,
            [this](MutableByteSpan into, const CancelToken&) { return read_stored(into); }, nullptr,
            layer.shown_as) {
    plain_.open(cancel);
    archive_entry* entry = nullptr;
    more_ = plain_.next(&entry);
  }

  ByteInput content() {
    return [this](MutableByteSpan into, const CancelToken&) { return read_content(into); };
  }

  /// Reads what the tar's reader has left and compares.
  void check_to_the_end() {
    Bytes rest(size_t{64} << 10);
    while (read_content(rest) > 0) continue;
    check_stored();
    if (!layer_.content || content_hash_.finish() == *layer_.content) return;
    const std::string what = layer_.shown_as + " does not hold the tar that the image's config names";
    // Some tools recompress a layer and leave its tar another length; its own digest vouches for it.
    if (!layer_.stored) throw Error::corrupt(what);
    log::warn("{}", what);
  }

  /// After a failure: if the bytes are not the right ones, that is the reason to give.
  void check_stored() {
    Bytes rest(size_t{64} << 10);
    while (read_stored(rest) > 0) continue;
    if (layer_.stored && stored_hash_.finish() != *layer_.stored)
      throw Error::corrupt(layer_.shown_as + " is damaged: its bytes are not those of its digest");
  }

 private:
  size_t read_stored(MutableByteSpan into) {
    const size_t n = input_(into, cancel_);
    stored_hash_.update(into.first(n));
    return n;
  }

  size_t read_content(MutableByteSpan into) {
    while (more_ && block_.empty()) {
      int64_t offset = 0;
      more_ = plain_.next_block(block_, offset);
      if (!more_) block_ = {};
    }
    const size_t n = std::min(into.size(), block_.size());
    std::copy_n(block_.begin(), n, into.begin());
    block_ = block_.subspan(n);
    content_hash_.update(into.first(n));
    return n;
  }

  const ImageLayer& layer_;
  const CancelToken& cancel_;
  const ByteInput input_;
  Hasher stored_hash_;
  Hasher content_hash_;
  ArchiveReader plain_;
  ByteSpan block_;
  bool more_ = false;
};

/// What the name of an entry means in a layer. False: it is to be left out.
bool translate(SourceEntry& e) {
  const std::string_view name = name_of(e.path);
  if (!name.starts_with(whiteout)) return true;
  const std::string folder(parent_of(e.path));
  if (name == opaque) {
    e.removes = Removes::contents;
    e.path = folder;
  } else if (name.starts_with(own_of_aufs)) {
    return false;
  } else {
    const std::string_view gone = name.substr(whiteout.size());
    if (gone.empty() || gone == "." || gone == "..")
      throw Error::corrupt("the whiteout " + shown(e.path) + " names nothing that could be removed");
    e.removes = Removes::path;
    e.path = folder.empty() ? std::string(gone) : folder + "/" + std::string(gone);
  }
  e.stat.st_mode = 0;
  e.hard_link = false;
  return true;
}

class LayeredSource final : public TreeSource {
 public:
  LayeredSource(std::string shown_as, std::vector<ImageLayer> layers, ImageConfig config)
      : shown_as_(std::move(shown_as)), layers_(std::move(layers)), config_(std::move(config)) {}

  std::string describe() const override { return shown_as_; }
  ImageConfig config() const override { return config_; }

  void walk(const std::function<void(SourceEntry&, const Read&)>& each, const CancelToken& cancel) override {
    for (uint32_t number = 1; const ImageLayer& layer : layers_) {
      try {
        walk_layer(layer, number++, each, cancel);
      } catch (const Error& e) {
        if (e.exit() == Exit::corrupt) throw e.in(shown_as_);
        throw;
      }
    }
  }

 private:
  static void walk_layer(const ImageLayer& layer, uint32_t number,
                         const std::function<void(SourceEntry&, const Read&)>& each,
                         const CancelToken& cancel) {
    LayerBytes bytes(layer, cancel);
    try {
      open_tar_source(bytes.content(), layer.shown_as)
          ->walk(
              [&](SourceEntry& e, const Read& read) {
                e.layer = number;
                if (translate(e)) each(e, e.removes == Removes::nothing ? read : nullptr);
              },
              cancel);
    } catch (const Error& e) {
      if (e.exit() == Exit::corrupt) bytes.check_stored();
      throw;
    }
    bytes.check_to_the_end();
  }

  const std::string shown_as_;
  const std::vector<ImageLayer> layers_;
  const ImageConfig config_;
};

}  // namespace

std::unique_ptr<TreeSource> make_layered_source(std::string shown_as, std::vector<ImageLayer> layers,
                                                ImageConfig config) {
  return std::make_unique<LayeredSource>(std::move(shown_as), std::move(layers), std::move(config));
}

}  // namespace coldstart
