// SPDX-License-Identifier: Apache-2.0
#pragma once
// Moving images and snapshots between a store and a remote. Only what the other side lacks is moved, many
// objects at once. Content goes first and names last, so a remote and a store are whole whatever is killed
// when; the same command again goes on where it was broken off.

#include "core/remote/object_store.h"
#include "core/remote/remote_manifest.h"
#include "core/store/store.h"
#include "core/timeline/operation.h"

namespace coldstart {

/// How to find the content of an image or snapshot: what Store::gc() is given, and the same for that part of
/// it which must be here to know the rest (metadata).
struct ContentWalkers {
  ManifestWalkers all;
  ManifestWalkers metadata;
};

struct PushResult {
  Digest digest;
  uint64_t bytes_sent = 0;     ///< compressed, as all bytes here
  uint64_t bytes_skipped = 0;  ///< that the remote had already
};

struct PushOptions {
  unsigned jobs = 4;  ///< objects at once
  RemoteOptions remote;
};

/// The image or snapshot `ref` to the remote at `url`, under the same name.
PushResult push(const std::shared_ptr<Store>& store, RefKind kind, const Ref& ref, const std::string& url,
                const PushOptions& options, const ContentWalkers& walkers, Operation& op);

struct PullOptions {
  bool lazy = false;  ///< only the metadata; content comes when it is read
  RemoteOptions remote;
};

struct PullResult {
  RefKind kind = RefKind::image;
  RefName reference;
  Digest digest;
  uint64_t bytes_received = 0;
  uint64_t bytes_skipped = 0;  ///< that were here already, or (lazy) are left there
};

/// What a URL with a name at its end means: "URL/NAME[:TAG]", or the only thing that is at the URL.
struct RemoteRef {
  std::string url;
  RemoteManifest manifest;
  std::shared_ptr<ObjectStore> objects;  ///< at `url`, as it was asked: its connections are still open
};
/// Asks the remote. `kind` absent: an image, or else a snapshot. Throws Error::not_found with what is there
/// as a hint, where the remote can tell.
RemoteRef find_remote_ref(const std::string& url_and_name, std::optional<RefKind> kind,
                          const RemoteOptions& options);
/// The same for a name that is known to be one.
RemoteRef find_remote_ref(const std::string& url, const RefName& name, std::optional<RefKind> kind,
                          const RemoteOptions& options);

/// Brings it here and sets the reference `as`, or that which it has there. The store must come from
/// open_store().
PullResult pull(const std::shared_ptr<Store>& store, const RemoteRef& from, const std::optional<RefName>& as,
                const PullOptions& options, const ContentWalkers& walkers, Operation& op);

}  // namespace coldstart
