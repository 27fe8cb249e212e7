// SPDX-License-Identifier: Apache-2.0
#include "core/store/store.h"

#include <algorithm>
#include <cerrno>

#include <unistd.h>

#include "core/base/error.h"
#include "core/base/log.h"
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

/// Runs `attempt` on every place of a chunk until one does not throw.
template <class Attempt>
void try_places(PackSet& packs, const Digest& digest, Attempt attempt) {
  const std::vector<PackSet::Found> places = packs.find_all(digest);
  if (places.empty())
    throw Error::corrupt("the chunk " + digest.text() + " is missing from the store",
                         "coldstart store fsck tells what else is wrong");
  for (size_t i = 0;; ++i) {
    try {
      return attempt(places[i]);
    } catch (const Error& e) {
      if (i + 1 == places.size()) throw;
      log::warn("{}; trying another copy", e.message());
    }
  }
}

void verify(const PackSet::Found& found, const Digest& digest, ByteSpan bytes) {
  if (Digest::of(bytes) != digest)
    throw Error::corrupt(
        "the chunk " + digest.text() + " in the pack " + found.pack->path().string() + " is corrupt",
        "coldstart store fsck tells what else is wrong");
}

/// The chunk, verified, into `out` of its length.
void read_place(PackSet& packs, const PackSet::Found& found, const Digest& digest, MutableByteSpan out) {
  const auto& [frame, chunk, number] = found.place;
  if (chunk.length == frame.content) {
    found.pack->read_content(frame, out);
  } else {
    const PackSet::Content content = packs.content(found);
    std::copy_n(content->begin() + chunk.offset, chunk.length, out.begin());
  }
  verify(found, digest, out);
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

bool Store::has(const Digest& digest) {
  return !impl_->packs.find_all(digest).empty();
}

Bytes Store::read(const Digest& digest) {
  Bytes bytes;
  try_places(impl_->packs, digest, [&](const PackSet::Found& found) {
    bytes.resize(found.place.chunk.length);
    read_place(impl_->packs, found, digest, bytes);
  });
  return bytes;
}

void Store::read_into(const Digest& digest, MutableByteSpan out) {
  try_places(impl_->packs, digest, [&](const PackSet::Found& found) {
    if (found.place.chunk.length != out.size()) wrong_length(digest);
    read_place(impl_->packs, found, digest, out);
  });
}

void Store::read_frame(const Digest& digest, const std::function<void(const Digest&, ByteSpan)>& each) {
  PackSet::Content content;
  PackSet::Found used;
  try_places(impl_->packs, digest, [&](const PackSet::Found& found) {
    content = impl_->packs.content(found);
    verify(found, digest, ByteSpan(*content).subspan(found.place.chunk.offset, found.place.chunk.length));
    used = found;
  });
  const PackFrame& frame = used.place.frame;
  for (uint32_t i = 0; i < used.pack->chunks_of(frame).size(); ++i) {
    const PackPlace place = used.pack->place(frame.first_chunk + i);
    if (place.frame_number != used.place.frame_number) continue;
    const ByteSpan bytes = ByteSpan(*content).subspan(place.chunk.offset, place.chunk.length);
    if (place.chunk.digest == digest || Digest::of(bytes) == place.chunk.digest)
      each(place.chunk.digest, bytes);
    else
      log::warn("the chunk {} in the pack {} is corrupt", place.chunk.digest.text(),
                used.pack->path().string());
  }
}

uint64_t Store::stored_size(const Digest& digest) {
  uint64_t bytes = 0;
  try_places(impl_->packs, digest, [&](const PackSet::Found& found) {
    const auto& [frame, chunk, number] = found.place;
    bytes = uint64_t{frame.stored} * chunk.length / frame.content;
  });
  return bytes;
}

const char* to_string(RefKind kind) {
  return kind == RefKind::image ? "image" : "snapshot";
}

}  // namespace coldstart
