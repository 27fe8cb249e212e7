// SPDX-License-Identifier: Apache-2.0
#pragma once
// Remotes: where images and snapshots are when they are not here.
//
// Words. An *object* is a run of bytes under a key. A *blob* is an object that never changes, named by the
// SHA-256 of its bytes: "blobs/sha256/HEX". A *ref* is a small object that names blobs:
// "refs/images/NAME:TAG". An *object store* is one place that keeps objects: a folder, a web server, an S3
// bucket, a repository of an OCI registry; or a wrapper around one that adds one thing (retry, near cache).
// docs/format.md tells what stands in the objects.

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/base/bytes.h"
#include "core/base/cancel.h"
#include "core/base/error.h"
#include "core/base/fd.h"

namespace coldstart {

/// What went wrong with a remote, as far as it tells what to do next.
class RemoteError : public Error {
 public:
  enum class Kind {
    absent,       ///< there is no such object
    denied,       ///< who we are may not, or is not known
    unreachable,  ///< nobody is there: no such host, connection refused
    transient,    ///< another try may do: timeouts, resets, 5xx, 429, answers that were cut short
    refused,      ///< anything else; another try gets the same answer
  };
  RemoteError(Kind kind, std::string what, std::string hint = {});
  Kind kind() const { return kind_; }
  /// What the server asked for before the next try; 0: nothing.
  std::chrono::milliseconds retry_after{0};

 private:
  Kind kind_;
};

/// A part of an object.
struct ByteRange {
  uint64_t offset = 0;
  uint64_t length = 0;
};

/// What is to be put: bytes in memory, or a whole file (`fd` at least 0). Both stay the caller's.
struct ObjectSource {
  ByteSpan bytes;
  int fd = -1;
  uint64_t size = 0;  ///< of the file
  /// Called with the bytes that went out since the last call; may be empty.
  std::function<void(uint64_t)> sent;

  uint64_t length() const { return fd >= 0 ? size : bytes.size(); }
};

/// Whole objects are taken into memory; none larger than this.
inline constexpr size_t max_object_bytes = size_t{1} << 30;

/// Thread-safe: many requests may run at once. All throw RemoteError (see its kinds) and, when cancelled,
/// Error. What they say names the object and the place, never a credential.
class ObjectStore {
 public:
  virtual ~ObjectStore() = default;

  /// The place for people: a URL without credentials.
  virtual std::string name() const = 0;

  enum class Freshness {
    any,     ///< a cache on the way may answer
    origin,  ///< caches on the way are to be passed by, and what they hold of it replaced
  };
  /// The range (exactly as many bytes as asked for), or the whole object.
  virtual Bytes get(const std::string& key, std::optional<ByteRange> range, Freshness freshness) = 0;
  Bytes get(const std::string& key) { return get(key, std::nullopt, Freshness::any); }
  /// Its size; nothing if it is not there.
  virtual std::optional<uint64_t> size(const std::string& key) = 0;
  /// Afterwards the object is there whole, or as it was before.
  virtual void put(const std::string& key, const ObjectSource& source) = 0;
  /// All keys that start with `prefix` (up to a '/'), sorted. A web server cannot tell: Kind::refused.
  virtual std::vector<std::string> list(const std::string& prefix) = 0;
  /// No error if it is not there.
  virtual void remove(const std::string& key) = 0;
};

struct RemoteOptions {
  /// How long a read may take, tries again included, before it fails.
  std::chrono::milliseconds deadline = std::chrono::seconds(30);
  /// A command that somebody waits for, not a read of a file: a host that is not there is an error soon, not
  /// at the deadline, and a large object may take longer than that as long as it moves.
  bool interactive = false;
  /// A folder or an HTTP cache near by; empty: none.
  std::string near;
  uint64_t bytes_per_second = 0;  ///< at most; 0: as fast as it goes
  const CancelToken* cancel = nullptr;
};

/// The object store at a URL, wrapped as the options say: file:PATH, http(s)://HOST/PATH,
/// s3://BUCKET[/PREFIX], oci://REGISTRY/REPOSITORY (oci+http:// where it speaks no TLS). Asks nobody yet.
/// Throws Error::usage for what is no such URL, or holds a password.
std::shared_ptr<ObjectStore> open_object_store(const std::string& url, const RemoteOptions& options);

/// A path (absolute, or starting with '.') as a file: URL; anything else as it is. Without '/' at its end.
std::string normal_url(const std::string& url);

}  // namespace coldstart
