// SPDX-License-Identifier: Apache-2.0
#include "core/store/store.h"

#include <algorithm>
#include <cerrno>

#include <unistd.h>

#include "core/base/error.h"
#include "core/base/log.h"
#include "core/store/quick_check.h"
#include "core/store/store_impl.h"

namespace coldstart {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view format_text = "coldstart store 1\n";

void check_format(const fs::path& root) {
  const fs::path file = root / "format";
  if (::access(file.c_str(), F_OK) != 0 && errno == ENOENT) {
    write_file_atomic(file, as_bytes(format_text));
    return;
  }
  const std::string found = read_text(file, 4096);
  if (found == format_text) return;
  if (found.starts_with("coldstart store "))
    throw Error("the store " + root.string() + " was made by a newer coldstart",
                "use that version, or another --store");
  throw Error::corrupt(file.string() + " is not that of a store");
}

[[noreturn]] void wrong_length(const Digest& digest) {
  throw Error::corrupt("the chunk " + digest.text() + " has another length than expected");
}

Error missing_chunk(const Digest& digest) {
  return Error::corrupt("the chunk " + digest.text() + " is missing from the store",
                        "coldstart store fsck tells what else is wrong");
}

/// All that stands in a pack was found to be right before it was put there. The digest has the last word.
bool is_right(const PackPlace& place, ByteSpan bytes) {
  const Digest& digest = place.chunk.digest;
  return place.check == quick_check(digest, bytes) || Digest::of(bytes) == digest;
}

void verify(const PackSet::Found& found, ByteSpan bytes) {
  if (!is_right(found.place, bytes))
    throw Error::corrupt("the chunk " + found.place.chunk.digest.text() + " in the pack " +
                             found.pack->path().string() + " is corrupt",
                         "coldstart store fsck tells what else is wrong");
}

/// The chunk, verified, into `out` of its length.
void read_place(PackSet& packs, const PackSet::Found& found, MutableByteSpan out) {
  const PackFrame& frame = found.place.frame;
  const PackChunk& chunk = found.place.chunk;
  if (chunk.length == frame.content) {
    found.pack->read_content(frame, out);
  } else {
    const PackSet::Content content = packs.content(found);
    std::copy_n(content->begin() + chunk.offset, chunk.length, out.begin());
  }
  verify(found, out);
}

}  // namespace

Store::Store(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Store::~Store() = default;

std::shared_ptr<Store> Store::open(const fs::path& root) {
  try {
    make_folders(root);
    auto impl = std::make_unique<Impl>(fs::absolute(root));
    check(::access(impl->root.c_str(), R_OK | W_OK | X_OK), "it cannot be written");
    check_format(impl->root);
    for (const fs::path& folder : {impl->root / "packs", impl->refs(RefKind::image),
                                   impl->refs(RefKind::snapshot), impl->leases(), impl->tmp()})
      make_folders(folder);
    return std::shared_ptr<Store>(new Store(std::move(impl)));
  } catch (const Error& e) {
    const Error told = e.in("cannot open the store " + root.string());
    throw e.hint().empty() ? told.with_hint("name another one with --store or COLDSTART_STORE") : told;
  }
}

const fs::path& Store::root() const {
  return impl_->root;
}

void Store::attach(std::shared_ptr<ChunkOrigin> origin) {
  impl_->origin = std::move(origin);
}

ChunkOrigin* Store::origin() const {
  return impl_->origin.get();
}

bool Store::has_here(const Digest& digest) {
  return !impl_->packs.find_all(digest).empty();
}

bool Store::has(const Digest& digest) {
  // The folder of packs is looked at last: that asks the system.
  return !PackSet::find_in(*impl_->packs.packs(), digest).empty() ||
         (impl_->origin && impl_->origin->has(digest)) || has_here(digest);
}

std::shared_ptr<const OriginFrame> Store::from_origin(const Digest& digest, const Error* wrong, bool* came) {
  std::shared_ptr<const OriginFrame> frame = impl_->origin ? impl_->origin->frame(digest, came) : nullptr;
  if (frame) return frame;
  throw wrong != nullptr ? *wrong : missing_chunk(digest);
}

/// Runs `attempt` on every place of a chunk until one does not throw, then `remote` on what the origin has.
template <class Attempt, class Remote>
void Store::try_all(const Digest& digest, Attempt attempt, Remote remote, bool* came) {
  std::optional<Error> wrong;
  for (const PackSet::Found& place : impl_->packs.find_all(digest)) {
    if (wrong) log::warn("{}; trying another copy", wrong->message());
    try {
      return attempt(place);
    } catch (const Error& e) {
      wrong = e;
    }
  }
  if (wrong && impl_->origin) log::warn("{}; asking where it came from", wrong->message());
  remote(from_origin(digest, wrong ? &*wrong : nullptr, came));
}

namespace {

ByteSpan bytes_in(const OriginFrame& frame, const Digest& digest) {
  const auto at = std::find_if(frame.chunks.begin(), frame.chunks.end(),
                               [&](const OriginFrame::Chunk& c) { return c.digest == digest; });
  if (at == frame.chunks.end()) throw missing_chunk(digest);
  return frame.bytes_of(*at);
}

}  // namespace

Bytes Store::read(const Digest& digest, bool* came) {
  Bytes bytes;
  try_all(
      digest,
      [&](const PackSet::Found& found) {
        bytes.resize(found.place.chunk.length);
        read_place(impl_->packs, found, bytes);
      },
      [&](const std::shared_ptr<const OriginFrame>& frame) {
        const ByteSpan chunk = bytes_in(*frame, digest);
        bytes.assign(chunk.begin(), chunk.end());
      },
      came);
  return bytes;
}

void Store::read_into(const Digest& digest, MutableByteSpan out) {
  try_all(
      digest,
      [&](const PackSet::Found& found) {
        if (found.place.chunk.length != out.size()) wrong_length(digest);
        read_place(impl_->packs, found, out);
      },
      [&](const std::shared_ptr<const OriginFrame>& frame) {
        const ByteSpan chunk = bytes_in(*frame, digest);
        if (chunk.size() != out.size()) wrong_length(digest);
        std::copy(chunk.begin(), chunk.end(), out.begin());
      });
}

void Store::read_frame(const Digest& digest, const std::function<void(const Digest&, ByteSpan)>& each,
                       bool* came) {
  PackSet::Content content;
  PackSet::Found used;
  std::shared_ptr<const OriginFrame> remote;
  try_all(
      digest,
      [&](const PackSet::Found& found) {
        content = impl_->packs.content(found);
        verify(found, ByteSpan(*content).subspan(found.place.chunk.offset, found.place.chunk.length));
        used = found;
      },
      [&](const std::shared_ptr<const OriginFrame>& frame) { remote = frame; }, came);
  if (remote) {
    for (const OriginFrame::Chunk& chunk : remote->chunks) each(chunk.digest, remote->bytes_of(chunk));
    return;
  }
  const PackFrame& frame = used.place.frame;
  for (uint32_t i = 0; i < used.pack->chunks_of(frame).size(); ++i) {
    const PackPlace place = used.pack->place(frame.first_chunk + i);
    if (place.frame_number != used.place.frame_number) continue;
    const ByteSpan bytes = ByteSpan(*content).subspan(place.chunk.offset, place.chunk.length);
    if (place.chunk.digest == digest || is_right(place, bytes))
      each(place.chunk.digest, bytes);
    else
      log::warn("the chunk {} in the pack {} is corrupt", place.chunk.digest.text(),
                used.pack->path().string());
  }
}

void Store::prefetch(std::span<const Digest> digests) {
  if (!impl_->origin) return;
  const std::shared_ptr<const PackSet::Packs> packs = impl_->packs.packs();
  std::vector<Digest> lacking;
  std::copy_if(digests.begin(), digests.end(), std::back_inserter(lacking),
               [&](const Digest& digest) { return PackSet::find_in(*packs, digest).empty(); });
  if (!lacking.empty()) impl_->origin->prefetch(lacking);
}

uint64_t Store::stored_size(const Digest& digest) {
  const std::vector<PackSet::Found> places = impl_->packs.find_all(digest);
  if (!places.empty()) {
    const PackFrame& frame = places.front().place.frame;
    const PackChunk& chunk = places.front().place.chunk;
    return uint64_t{frame.stored} * chunk.length / frame.content;
  }
  const auto remote = impl_->origin ? impl_->origin->stored_size(digest) : std::nullopt;
  if (!remote) throw missing_chunk(digest);
  return *remote;
}

const char* to_string(RefKind kind) {
  return kind == RefKind::image ? "image" : "snapshot";
}

}  // namespace coldstart
