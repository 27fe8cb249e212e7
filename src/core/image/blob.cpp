// SPDX-License-Identifier: Apache-2.0
#include "core/image/blob.h"

namespace coldstart {

uint64_t BlobSections::add_text(std::string_view text) {
  const uint64_t at = names.size();
  names += text;
  return at;
}

Bytes BlobSections::assemble() const {
  const std::array<ByteSpan, static_cast<size_t>(Section::count)> sections = {
      std::as_bytes(std::span(inodes)),
      std::as_bytes(std::span(entries)),
      std::as_bytes(std::span(extents)),
      std::as_bytes(std::span(chunks)),
      std::as_bytes(std::span(xattrs)),
      std::as_bytes(std::span(xattr_refs)),
      as_bytes(names)};

  BlobHeader header{};
  header.magic = blob_magic;
  header.version = blob_version;
  header.total_bytes = total_bytes;
  uint64_t end = sizeof header;
  for (size_t i = 0; i < sections.size(); ++i) {
    const uint64_t start = section_start(end);
    header.sections[i] = {start, sections[i].size() / record_bytes[i]};
    end = start + sections[i].size();
  }

  Bytes blob(end);
  std::memcpy(blob.data(), &header, sizeof header);
  for (size_t i = 0; i < sections.size(); ++i)
    if (!sections[i].empty())
      std::memcpy(blob.data() + header.sections[i].offset, sections[i].data(), sections[i].size());
  return blob;
}

}  // namespace coldstart
