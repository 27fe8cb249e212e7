// SPDX-License-Identifier: Apache-2.0
#include "core/store/upkeep.h"

#include <cerrno>
#include <set>
#include <sstream>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/error.h"

namespace coldstart {

namespace fs = std::filesystem;

namespace {

constexpr RefKind all_kinds[] = {RefKind::image, RefKind::snapshot};

std::vector<ManifestName> parse_lease(const fs::path& file) {
  std::vector<ManifestName> manifests;
  std::istringstream in(read_text(file));
  for (std::string kind, digest; in >> kind >> digest;) {
    const auto parsed = Digest::parse(digest);
    if (!parsed || (kind != to_string(RefKind::image) && kind != to_string(RefKind::snapshot)))
      throw Error::corrupt("the lease " + file.string() + " is damaged");
    manifests.push_back({kind == to_string(RefKind::image) ? RefKind::image : RefKind::snapshot, *parsed});
  }
  return manifests;
}

}  // namespace

bool is_held(const fs::path& file) {
  const Fd fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd) {
    if (errno == ENOENT || errno == ENOTDIR) return false;
    throw Error::sys("cannot open " + file.string());
  }
  if (::flock(fd.get(), LOCK_SH | LOCK_NB) == 0) return false;
  if (errno != EWOULDBLOCK) throw Error::sys("cannot lock " + file.string());
  return true;
}

std::vector<ManifestName> leased_manifests(const fs::path& leases) {
  std::vector<ManifestName> all;
  for (const auto& entry : fs::directory_iterator(leases)) {
    if (!is_held(entry.path())) continue;
    const std::vector<ManifestName> manifests = parse_lease(entry.path());
    all.insert(all.end(), manifests.begin(), manifests.end());
  }
  return all;
}

const ManifestWalker& walker_for(const ManifestWalkers& walkers, RefKind kind) {
  const auto it = walkers.find(kind);
  if (it == walkers.end())
    throw Error(std::string("this program cannot follow a ") + to_string(kind) + "'s manifest");
  return it->second;
}

DigestSet live_digests(Store& store, const fs::path& leases, const ManifestWalkers& walkers,
                       const CancelToken& cancel) {
  std::set<std::pair<RefKind, Digest>> manifests;
  for (const RefKind kind : all_kinds)
    for (const Ref& ref : store.refs(kind)) manifests.emplace(kind, ref.digest);
  for (const ManifestName& leased : leased_manifests(leases)) manifests.emplace(leased.kind, leased.digest);
  DigestSet live;
  std::vector<Digest> found;
  for (const auto& [kind, digest] : manifests) {
    cancel.check();
    found.assign(1, digest);
    walker_for(walkers, kind)(store, digest, found);
    live.insert(found.begin(), found.end());
  }
  return live;
}

PackUse use_of(const PackFile& pack, const DigestSet& live) {
  PackUse use;
  for (const PackFrame& frame : pack.frames()) {
    uint64_t live_content = 0;
    for (const PackChunk& chunk : pack.chunks_of(frame)) {
      if (!live.contains(chunk.digest)) continue;
      live_content += chunk.length;
      ++use.live_chunks;
    }
    const uint64_t share = std::min<uint64_t>(frame.stored, live_content * frame.stored / frame.content);
    use.live_bytes += share;
    use.garbage_bytes += frame.stored - share;
  }
  return use;
}

std::vector<fs::path> leftovers(const fs::path& tmp) {
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(tmp))
    if (!is_held(entry.path() / "owner")) found.push_back(entry.path());
  return found;
}

uint64_t bytes_below(const fs::path& path) {
  struct stat st {};
  if (::lstat(path.c_str(), &st) != 0) return 0;
  if (!S_ISDIR(st.st_mode)) return static_cast<uint64_t>(st.st_blocks) * 512;
  uint64_t bytes = 0;
  std::error_code error;
  for (fs::directory_iterator at(path, error), end; !error && at != end; at.increment(error))
    bytes += bytes_below(at->path());
  return bytes;
}

StoreStat Store::stat(const ManifestWalkers& walkers) {
  StoreStat stat;
  stat.images = refs(RefKind::image).size();
  stat.snapshots = refs(RefKind::snapshot).size();
  const CancelToken never;
  impl_->packs.rescan();
  const DigestSet live = live_digests(*this, impl_->leases(), walkers, never);
  for (const auto& pack : *impl_->packs.packs()) {
    ++stat.packs;
    stat.chunks += pack->chunks().size();
    stat.stored_bytes += pack->file_bytes();
    for (const PackFrame& frame : pack->frames()) stat.content_bytes += frame.content;
    stat.garbage_bytes += use_of(*pack, live).garbage_bytes;
  }
  for (const fs::path& left : leftovers(impl_->tmp())) stat.leftover_bytes += bytes_below(left);
  return stat;
}

}  // namespace coldstart
