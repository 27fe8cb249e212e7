// SPDX-License-Identifier: Apache-2.0
#pragma once
// An empty store of its own for a test, and chunks to put there.

#include <random>

#include <fcntl.h>

#include "core/store/store.h"

namespace coldstart {

struct StoreFixture {
  CancelToken cancel;
  NoProgress progress;
  Timeline timeline;
  Operation op{cancel, progress, timeline};
  TempDir folder;
  std::shared_ptr<Store> store = Store::open(folder.path() / "store");

  std::filesystem::path packs() const { return store->root() / "packs"; }

  /// A new file in place of `path`, at once: not fsynced, as thousands of them would take minutes.
  static void replace(const std::filesystem::path& path, ByteSpan bytes) {
    std::filesystem::remove(path);
    write_full(open_file(path, O_WRONLY | O_CREAT | O_EXCL).get(), bytes);
  }
  /// Text that compresses, different for each seed.
  static Bytes text(size_t bytes, unsigned seed) {
    std::string s;
    while (s.size() < bytes) s += "line " + std::to_string(seed) + " of " + std::to_string(s.size()) + "\n";
    s.resize(bytes);
    return to_bytes(s);
  }
  /// Bytes that do not compress.
  static Bytes noise(size_t bytes, unsigned seed) {
    std::minstd_rand random(seed + 1);
    Bytes b(bytes);
    for (std::byte& x : b) x = static_cast<std::byte>(random() >> 8);
    return b;
  }

  /// Stores chunks and publishes them.
  std::vector<Digest> put(const std::vector<Bytes>& chunks, PackOptions options = {}) {
    std::vector<Digest> digests(chunks.size());
    PackWriter writer(store, options, op);
    for (size_t i = 0; i < chunks.size(); ++i) writer.put(chunks[i], &digests[i]);
    writer.finish();
    return digests;
  }
};

}  // namespace coldstart
