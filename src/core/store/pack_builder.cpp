// SPDX-License-Identifier: Apache-2.0
#include "core/store/pack_builder.h"

#include <algorithm>
#include <numeric>

#include <fcntl.h>
#include <unistd.h>

#include "core/base/error.h"
#include "core/store/compression.h"
#include "core/store/quick_check.h"

namespace coldstart {

namespace {

/// Bytes after which the kernel is told to start writing back, so that the fsync at the end has little left.
constexpr uint64_t write_back_step = uint64_t{8} << 20;

}  // namespace

void BuiltFrame::add(const Digest& digest, ByteSpan bytes) {
  const auto length = static_cast<uint32_t>(bytes.size());
  chunks.push_back({digest, length, quick_check(digest, bytes)});
  content_bytes += length;
}

void compress_frame(BuiltFrame& frame, std::vector<Bytes> contents, int level) {
  Bytes content = std::move(contents.front());
  if (contents.size() > 1) content.reserve(frame.content_bytes);
  for (size_t i = 1; i < contents.size(); ++i) append(content, contents[i]);
  std::optional<Bytes> compressed = compress(content, level);
  frame.stored = compressed ? std::move(*compressed) : std::move(content);
}

PackBuilder::PackBuilder(const std::filesystem::path& folder) {
  std::string path = (folder / "pack.XXXXXX").string();
  fd_ = Fd(::mkostemp(path.data(), O_CLOEXEC));
  if (!fd_) throw Error::sys("cannot write in " + folder.string());
  path_ = path;
  write(std::as_bytes(std::span(pack_magic)));
}

void PackBuilder::write(ByteSpan bytes) {
  try {
    write_full(fd_.get(), bytes);
  } catch (const Error& e) {
    throw e.in("cannot write the pack " + path_.string())
        .with_hint("free some space, or run: coldstart store gc");
  }
  at_ += bytes.size();
}

void PackBuilder::add(const BuiltFrame& frame) {
  const auto number = static_cast<uint32_t>(frames_.size());
  frames_.push_back({at_, static_cast<uint32_t>(frame.stored.size()), frame.content_bytes,
                     static_cast<uint32_t>(chunks_.size()), static_cast<uint32_t>(frame.chunks.size())});
  uint32_t offset = 0;
  for (const auto& [digest, length, check] : frame.chunks) {
    chunks_.push_back({digest, number, offset, length});
    checks_.push_back(check);
    offset += length;
  }
  write(frame.stored);
  if (at_ - flushed_ < write_back_step) return;
  // Only a hint: what goes wrong here, fsync tells.
  ::sync_file_range(fd_.get(), static_cast<off_t>(flushed_), static_cast<off_t>(at_ - flushed_),
                    SYNC_FILE_RANGE_WRITE);
  flushed_ = at_;
}

void PackBuilder::finish(Durability durability) {
  constexpr std::array<std::byte, alignof(PackFrame)> zeros{};
  write(ByteSpan(zeros).first((alignof(PackFrame) - at_ % alignof(PackFrame)) % alignof(PackFrame)));
  std::vector<uint32_t> order(chunks_.size());
  std::iota(order.begin(), order.end(), 0U);
  std::sort(order.begin(), order.end(),
            [&](uint32_t a, uint32_t b) { return chunks_[a].digest < chunks_[b].digest; });
  PackFooter footer{{},
                    at_,
                    static_cast<uint32_t>(frames_.size()),
                    static_cast<uint32_t>(chunks_.size()),
                    pack_version,
                    0,
                    pack_magic};
  Hasher hasher;
  for (const ByteSpan part : {std::as_bytes(std::span(frames_)), std::as_bytes(std::span(chunks_)),
                              std::as_bytes(std::span(order)), std::as_bytes(std::span(checks_))}) {
    hasher.update(part);
    write(part);
  }
  footer.index_digest = digest_ = hasher.finish();
  write(bytes_of(footer));
  if (durability == Durability::synced) check(::fsync(fd_.get()), "cannot fsync the pack " + path_.string());
  fd_.reset();
}

}  // namespace coldstart
