// SPDX-License-Identifier: Apache-2.0
#pragma once
// The store: where images and snapshots live on this host.
//
// Words. A *chunk* is a run of bytes named by its SHA-256: the unit of identity, deduplication and
// verification. A *frame* is one zstd frame holding one large chunk or several small neighbours: the unit
// of compression and of I/O. A *pack* is a file of frames with an index at its end, named by the digest of
// that index, never changed after it is published. A *ref* is a name that leads to a manifest's digest;
// a *manifest* is a small JSON object, itself a chunk, that leads to all other chunks of its image or
// snapshot. docs/format.md has the formats byte by byte.
//
// Folder layout of a store:
//   format        "coldstart store 1"
//   lock          flock: shared by whoever adds content, exclusive for gc
//   packs/        HEX.pack, published by rename
//   refs/images/, refs/snapshots/   one file a reference
//   leases/       one flocked file a user of content (mount, replica, …); its text names the manifests in use
//   tmp/          scratch folders, each with a flocked file "owner"; one whose owner is gone is left over
//
// Crash safety. A pack is fsynced before it is renamed into place; a ref is written after all packs that
// it needs. So a ref never leads to what is not there, whatever is killed when.

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/base/files.h"
#include "core/store/chunk_origin.h"
#include "core/store/digest.h"
#include "core/timeline/operation.h"

namespace coldstart {

enum class RefKind { image, snapshot };

/// NAME[:TAG] as the user wrote it, tag "latest" by default.
struct RefName {
  std::string name;
  std::string tag = "latest";
  std::string text() const { return name + ":" + tag; }
  /// Throws Error::usage for what is no valid reference. Names: [a-z0-9][a-z0-9._-]*, several of them with
  /// '/' between; tags: [A-Za-z0-9_][A-Za-z0-9._-]*; at most 100 characters each.
  static RefName parse(std::string_view text);
};

struct Ref {
  RefName name;
  Digest digest;        ///< of the manifest
  int64_t created = 0;  ///< seconds since 1970
};

struct StoreStat {
  uint64_t packs = 0, chunks = 0, images = 0, snapshots = 0;
  uint64_t stored_bytes = 0;    ///< on disk, in packs
  uint64_t content_bytes = 0;   ///< uncompressed
  uint64_t garbage_bytes = 0;   ///< stored bytes that no ref or lease leads to
  uint64_t leftover_bytes = 0;  ///< in tmp/, without a live owner
};

class PackWriter;
class FrameWriter;
class Error;

/// What a manifest leads to, for gc and fsck: appends the digests of all chunks, the manifest's own not
/// included. The store does not know the formats of images and snapshots; their owners register one of these
/// for each kind, and refs and leases say of which kind what they name is. A snapshot that needs an image
/// appends the image's manifest and chunks too.
using ManifestWalker = std::function<void(class Store&, const Digest& manifest, std::vector<Digest>& out)>;
using ManifestWalkers = std::map<RefKind, ManifestWalker>;

/// A manifest and what it describes.
struct ManifestName {
  RefKind kind;
  Digest digest;
};

/// Thread-safe. Cheap to open: packs are indexed on first use.
class Store {
 public:
  /// Opens a store, creating the folder if it is not there. Throws if it is of a newer format or unwritable.
  static std::shared_ptr<Store> open(const std::filesystem::path& root);
  ~Store();

  const std::filesystem::path& root() const;

  /// Gives the store where to ask for chunks that it lacks. Once, before other threads use the store.
  /// core/remote's open_store() does it; whoever reads content should open the store by that.
  void attach(std::shared_ptr<ChunkOrigin> origin);
  /// What was attached, or null.
  ChunkOrigin* origin() const;

  // Chunks.
  /// In a pack here, or known to the origin.
  bool has(const Digest& digest);
  /// In a pack here.
  bool has_here(const Digest& digest);
  /// The chunk's bytes, checked against the digest. If it is in several packs, a good one is found; if in
  /// none, the origin is asked, which may take as long as its deadline. Throws Error::corrupt naming the
  /// digest if it is wrong or not there (a manifest promised it). `came` (or null) becomes true if the origin
  /// had to bring it from far away for this.
  Bytes read(const Digest& digest, bool* came = nullptr);
  /// As read(), into `out`, which must have exactly the chunk's length.
  void read_into(const Digest& digest, MutableByteSpan out);
  /// All chunks of the frame that holds `digest`, each verified: small files come in company, and who
  /// reads one will want its neighbours. Calls `each` at least for `digest` itself. `came` as for read().
  void read_frame(const Digest& digest, const std::function<void(const Digest&, ByteSpan)>& each,
                  bool* came = nullptr);
  /// Brings chunks near that only the origin has, neighbours in one request, several requests at once, so
  /// that reading them will not wait. Returns when they are here; what could not be had is not told, as
  /// reading it will tell. A read meanwhile of what is on its way waits for it and asks nothing again.
  void prefetch(std::span<const Digest> digests);
  /// The stored (compressed) bytes that `digest` takes: its share of its frame.
  uint64_t stored_size(const Digest& digest);

  // References.
  /// Throws Error::not_found if the manifest is not in the store (put it there, finish(), then name it).
  void set_ref(RefKind kind, const RefName& name, const Digest& manifest);
  /// False if there is no such ref.
  bool remove_ref(RefKind kind, const RefName& name);
  std::vector<Ref> refs(RefKind kind);
  /// By name, by digest or by a unique prefix (at least 4 digits) of one. Throws Error::not_found with the
  /// nearest names as a hint.
  Ref resolve(RefKind kind, std::string_view reference);

  // Upkeep.
  StoreStat stat(const ManifestWalkers& walkers);
  struct GcResult {
    uint64_t freed_bytes = 0;
    uint64_t removed_packs = 0, rewritten_packs = 0, removed_leftovers = 0;
  };
  /// Removes what no ref or lease leads to. Waits for writers to finish; readers are never disturbed.
  GcResult gc(const ManifestWalkers& walkers, bool dry_run, Operation& op);
  struct FsckResult {
    uint64_t packs = 0, chunks = 0;
    std::vector<std::string> problems;  ///< one line each; empty: all is well
  };
  /// Reads every byte of every pack and follows every ref.
  FsckResult fsck(const ManifestWalkers& walkers, Operation& op);

  /// Content in use: `manifests` and all they lead to stay for as long as the lease lives, even when their
  /// refs are removed. Survives fork (the child's copy keeps it); dies with the process. Throws
  /// Error::not_found if gc was faster, Error::corrupt if a reference still leads there. `purpose` is for
  /// people: "mount", "replica".
  class Lease;
  Lease lease(const std::string& purpose, const std::vector<ManifestName>& manifests);

  /// A folder below tmp/ for what is being made; removed with the object, or by gc if its process was killed.
  class Scratch;
  Scratch scratch();

  struct Impl;  ///< for this folder's own files
  Impl& impl() { return *impl_; }

 private:
  friend class PackWriter;
  explicit Store(std::unique_ptr<Impl> impl);
  [[noreturn]] void missing(RefKind kind, const Digest& manifest);
  /// The chunk's frame by the origin, if there is one that knows it; else throws what went wrong here.
  std::shared_ptr<const OriginFrame> from_origin(const Digest& digest, const Error* wrong, bool* came);
  template <class Attempt, class Remote>
  void try_all(const Digest& digest, Attempt attempt, Remote remote, bool* came = nullptr);
  std::unique_ptr<Impl> impl_;
};

class Store::Lease {
 public:
  Lease(Lease&& other) noexcept;
  Lease& operator=(Lease&& other) noexcept;
  ~Lease() { release(); }

 private:
  friend class Store;
  Lease(std::filesystem::path file, FileLock lock);
  void release() noexcept;
  std::filesystem::path file_;
  std::optional<FileLock> lock_;
};

class Store::Scratch {
 public:
  const std::filesystem::path& path() const { return folder_.path(); }

 private:
  friend class Store;
  friend class PackWriter;
  friend class FrameWriter;
  explicit Scratch(const std::filesystem::path& tmp);
  TempDir folder_;
  FileLock owner_;
};

/// Not one of zstd's levels but a setting of its fastest kind, for files as they are in images: a tenth
/// faster than its level 2 for half a percent more bytes.
inline constexpr int files_level = 0;

struct PackOptions {
  int level = 3;                           ///< zstd's, or files_level
  unsigned jobs = 0;                       ///< threads; 0: as many as cores
  size_t frame_bytes = size_t{512} << 10;  ///< small chunks are gathered into frames of about this size
  size_t pack_bytes = size_t{512} << 20;   ///< a pack is closed at about this size
};

/// Adds chunks to a store. One thread calls put(); hashing and compression run on `jobs` threads; memory is
/// bounded by a few frames a thread. Holds the store's lock (shared), so that gc never removes a chunk
/// that this writer has found to be there already. Destroyed without finish(): nothing is published.
class PackWriter {
 public:
  PackWriter(std::shared_ptr<Store> store, const PackOptions& options, Operation& op);
  ~PackWriter();

  /// Adds one chunk (1 byte to 64 MiB). `*digest` is set by the time finish() or flush() returns and must
  /// stay valid until then.
  void put(Bytes chunk, Digest* digest);
  /// Waits until every digest is known. Publishes nothing yet.
  void flush();
  /// Adds one chunk and gives its digest at once (for manifests and the like).
  Digest put_now(Bytes chunk);
  /// Publishes all that was put. Content is then durable; set the ref after it, while this object lives.
  void finish();

  uint64_t new_stored_bytes() const;  ///< compressed bytes that were not in the store before
  uint64_t new_chunks() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace coldstart
