// SPDX-License-Identifier: Apache-2.0
#include "core/remote/origin_record.h"

#include <unistd.h>

#include "core/base/json.h"

namespace coldstart {

namespace fs = std::filesystem;

namespace {

constexpr const char* format_name = "coldstart origin 1";

fs::path record_file(const fs::path& root, const Digest& manifest) {
  return origins_folder(root) / (manifest.hex() + ".json");
}

}  // namespace

std::string OriginRecord::to_json() const {
  const Json json = {{"format", format_name},
                     {"url", url},
                     {"kind", kind == RefKind::image ? "image" : "snapshot"},
                     {"index", index.text()},
                     {"deadline", static_cast<double>(deadline.count()) / 1000},
                     {"near", near}};
  return json.dump() + "\n";
}

OriginRecord OriginRecord::from_json(std::string_view text, const Digest& manifest,
                                     const std::string& document) {
  const Json json = parse_json(text, document);
  if (const auto format = field<std::string>(json, "format", document); format != format_name)
    throw Error::corrupt(document + ": it is '" + format + "', not '" + format_name + "'");
  OriginRecord record;
  record.manifest = manifest;
  record.url = field<std::string>(json, "url", document);
  record.kind = field<std::string>(json, "kind", document) == "image" ? RefKind::image : RefKind::snapshot;
  const auto index = Digest::parse(field<std::string>(json, "index", document));
  if (!index) throw Error::corrupt(document + ": its index has no digest");
  record.index = *index;
  const auto seconds = field<double>(json, "deadline", document);
  if (!(seconds > 0 && seconds <= 86400)) throw Error::corrupt(document + ": its deadline is not possible");
  record.deadline = std::chrono::milliseconds(static_cast<int64_t>(seconds * 1000));
  record.near = field<std::string>(json, "near", document);
  return record;
}

fs::path origins_folder(const fs::path& store_root) {
  return store_root / "origins";
}

fs::path index_file(const fs::path& store_root, const Digest& manifest) {
  return origins_folder(store_root) / (manifest.hex() + ".chunks");
}

void write_origin(const fs::path& store_root, const OriginRecord& record, ByteSpan index) {
  make_folders(origins_folder(store_root));
  write_file_atomic(index_file(store_root, record.manifest), index);
  write_file_atomic(record_file(store_root, record.manifest), as_bytes(record.to_json()));
}

std::optional<OriginRecord> read_origin(const fs::path& store_root, const Digest& manifest) {
  const fs::path file = record_file(store_root, manifest);
  if (::access(file.c_str(), F_OK) != 0) return std::nullopt;
  return OriginRecord::from_json(read_text(file, 64 << 10), manifest, file.string());
}

std::vector<Digest> list_origins(const fs::path& store_root) {
  std::vector<Digest> all;
  std::error_code error;
  for (fs::directory_iterator at(origins_folder(store_root), error), end; !error && at != end;
       at.increment(error)) {
    if (at->path().extension() != ".json") continue;
    if (const auto digest = Digest::parse(at->path().stem().string())) all.push_back(*digest);
  }
  return all;
}

uint64_t remove_origin(const fs::path& store_root, const Digest& manifest, bool dry_run) {
  uint64_t bytes = 0;
  // The record first: an index without one is nothing.
  for (const fs::path& file : {record_file(store_root, manifest), index_file(store_root, manifest)}) {
    std::error_code error;
    const uint64_t size = fs::file_size(file, error);
    if (!error) bytes += size;
    if (!dry_run && ::unlink(file.c_str()) != 0 && errno != ENOENT)
      throw Error::sys("cannot remove " + file.string());
  }
  return bytes;
}

}  // namespace coldstart
