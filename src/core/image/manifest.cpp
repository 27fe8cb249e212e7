// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/base/json.h"
#include "core/base/log.h"
#include "core/base/workers.h"
#include "core/image/image.h"
#include "core/image/trace.h"

namespace coldstart {

namespace {

constexpr const char* format_name = "coldstart image 1";
constexpr uint64_t max_blob_bytes = uint64_t{8} << 30;

Json config_to_json(const ImageConfig& c) {
  return {{"command", c.command},
          {"entrypoint", c.entrypoint},
          {"environment", c.environment},
          {"folder", c.folder},
          {"user", c.user}};
}

ImageConfig config_from_json(const Json& json, const std::string& document) {
  using Texts = std::vector<std::string>;
  return {field<Texts>(json, "environment", document), field<Texts>(json, "entrypoint", document),
          field<Texts>(json, "command", document), field<std::string>(json, "user", document),
          field<std::string>(json, "folder", document)};
}

}  // namespace

std::string ImageManifest::to_json() const {
  Json blob_digests = Json::array();
  for (const Digest& d : blob_chunks) blob_digests.push_back(d.text());
  Json json = {{"format", format_name},
               {"blob", {{"bytes", blob_bytes}, {"chunks", std::move(blob_digests)}}},
               {"files", files},
               {"bytes", bytes},
               {"config", config_to_json(config)}};
  if (trace) json["trace"] = trace->text();
  return json.dump();
}

ImageManifest ImageManifest::from_json(std::string_view text, const std::string& document) {
  const Json json = parse_json(text, document);
  const auto format = field<std::string>(json, "format", document);
  if (format != format_name) {
    const bool ours = format.rfind("coldstart image ", 0) == 0;
    throw Error::corrupt(document + ": it is '" + format + "', not '" + format_name + "'",
                         ours ? "use a newer coldstart" : "");
  }
  ImageManifest m;
  const auto blob = field<Json>(json, "blob", document);
  m.blob_bytes = field<uint64_t>(blob, "bytes", document);
  if (m.blob_bytes > max_blob_bytes) throw Error::corrupt(document + ": the metadata is too large");
  for (const auto& digest : field<std::vector<std::string>>(blob, "chunks", document)) {
    const auto parsed = Digest::parse(digest);
    if (!parsed) throw Error::corrupt(fmt::format("{}: '{}' is no digest", document, digest));
    m.blob_chunks.push_back(*parsed);
  }
  m.files = field<uint64_t>(json, "files", document);
  m.bytes = field<uint64_t>(json, "bytes", document);
  m.config = config_from_json(field<Json>(json, "config", document), document);
  if (json.contains("trace")) {
    m.trace = Digest::parse(field<std::string>(json, "trace", document));
    if (!m.trace) throw Error::corrupt(document + ": 'trace' is no digest");
  }
  return m;
}

ImageManifest read_image_manifest(Store& store, const Digest& image) {
  return ImageManifest::from_json(as_text(store.read(image)), "the manifest of image " + image.text());
}

ImageReader open_image(Store& store, const ImageManifest& manifest) {
  const size_t count = manifest.blob_chunks.size();
  if (count != (manifest.blob_bytes + blob_chunk_bytes - 1) / blob_chunk_bytes)
    throw Error::corrupt("image metadata: its chunks do not have the size that the manifest says");
  Bytes blob(manifest.blob_bytes);
  const auto read = [&](size_t number) {
    const size_t at = number * blob_chunk_bytes;
    const size_t size = std::min(blob_chunk_bytes, blob.size() - at);
    store.read_into(manifest.blob_chunks[number], MutableByteSpan(blob).subspan(at, size));
  };
  if (count <= 2) {
    for (size_t i = 0; i < count; ++i) read(i);
  } else {
    Workers workers(default_jobs(), count);
    for (size_t i = 0; i < count; ++i) workers.submit([&read, i] { read(i); });
    workers.wait();
  }
  return ImageReader(std::move(blob));
}

namespace {

/// By the image's own trace, and first by that of who uses it. An image without them is as good, but for the
/// order.
AccessTrace order_of_use(Store& store, const ImageManifest& manifest, const ImageReader& image,
                         std::string_view used) {
  AccessTrace order;
  const auto add = [&order](const auto& read) {
    try {
      const AccessTrace trace = read();
      order.insert(order.end(), trace.begin(), trace.end());
    } catch (const Error& e) {
      log::debug("{}", e.message());
    }
  };
  if (!used.empty()) add([&] { return parse_trace(used, image, "the trace of what uses the image"); });
  add([&] { return read_trace(store, manifest, image); });
  return order;
}

}  // namespace

void walk_image(Store& store, const Digest& image, std::vector<Digest>& out) {
  walk_image_in_use(store, image, {}, out);
}

void walk_image_in_use(Store& store, const Digest& image, std::string_view used, std::vector<Digest>& out) {
  const ImageManifest manifest = read_image_manifest(store, image);
  out.insert(out.end(), manifest.blob_chunks.begin(), manifest.blob_chunks.end());
  if (manifest.trace) out.push_back(*manifest.trace);
  const ImageReader reader = open_image(store, manifest);
  // What a start reads comes first, in that order: so it is written, and lies, on a remote.
  std::vector<bool> named(reader.chunks().size());
  const auto name = [&](uint32_t chunk) {
    if (!named[chunk]) out.push_back(ImageReader::digest(reader.chunks()[chunk]));
    named[chunk] = true;
  };
  for (const TraceRange& range : order_of_use(store, manifest, reader, used))
    for (const ExtentRecord& extent :
         reader.extents(reader.inode(range.inode)).subspan(range.first, range.count))
      name(extent.chunk);
  for (uint32_t chunk = 0; chunk < reader.chunks().size(); ++chunk) name(chunk);
}

void walk_image_metadata(Store& store, const Digest& image, std::vector<Digest>& out) {
  const ImageManifest manifest = read_image_manifest(store, image);
  out.insert(out.end(), manifest.blob_chunks.begin(), manifest.blob_chunks.end());
  if (manifest.trace) out.push_back(*manifest.trace);
}

uint64_t image_stored_bytes(Store& store, const Digest& image) {
  std::vector<Digest> digests = {image};
  walk_image(store, image, digests);
  uint64_t bytes = 0;
  for (const Digest& digest : digests) bytes += store.stored_size(digest);
  return bytes;
}

}  // namespace coldstart
