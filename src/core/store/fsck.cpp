// SPDX-License-Identifier: Apache-2.0
// Every byte of every pack against its digest, and every reference to its end.

#include <algorithm>
#include <mutex>

#include "core/base/error.h"
#include "core/base/progress_task.h"
#include "core/base/workers.h"
#include "core/store/upkeep.h"

namespace coldstart {

namespace fs = std::filesystem;

namespace {

/// Missing chunks told for one reference; the rest is counted.
constexpr size_t told_chunks = 5;

class Checker {
 public:
  Checker(Store& store, Store::Impl& impl, const ManifestWalkers& walkers, Operation& op)
      : store_(store), impl_(impl), walkers_(walkers), op_(op) {}
  Store::FsckResult run();

 private:
  void problem(std::string line) {
    const std::lock_guard lock(mutex_);
    result_.problems.push_back(std::move(line));
  }
  std::vector<std::shared_ptr<const PackFile>> open_packs();
  void check_frame(const PackFile& pack, const PackFrame& frame);
  void check_refs(RefKind kind);
  void follow(RefKind kind, const std::string& from, const Digest& manifest);
  /// A chunk that was never brought here is no problem while it is known where it is.
  bool elsewhere(const Digest& digest) const {
    return impl_.origin && !store_.has_here(digest) && impl_.origin->has(digest);
  }

  Store& store_;
  Store::Impl& impl_;
  const ManifestWalkers& walkers_;
  Operation& op_;
  std::mutex mutex_;  // guards result_ and good_
  Store::FsckResult result_;
  DigestSet good_;
};

Store::FsckResult Checker::run() {
  // Keeps gc from removing what is about to be looked at; writers go on.
  const FileLock lock(impl_.lock_file(), FileLock::Mode::shared);
  impl_.packs.rescan();
  const auto packs = open_packs();
  uint64_t total = 0;
  for (const auto& pack : packs) total += pack->file_bytes();
  {
    const ProgressTask task(op_.progress, "checking packs", total);
    Workers workers(default_jobs(), size_t{2} * default_jobs());
    for (const auto& pack : packs) {
      for (const PackFrame& frame : pack->frames()) {
        op_.cancel.check();
        workers.submit([this, pack, &frame] { check_frame(*pack, frame); });
      }
    }
    workers.wait();
  }
  check_refs(RefKind::image);
  check_refs(RefKind::snapshot);
  for (const auto& [kind, digest] : leased_manifests(impl_.leases()))
    follow(kind, std::string("a leased ") + to_string(kind), digest);
  std::sort(result_.problems.begin(), result_.problems.end());
  return std::move(result_);
}

std::vector<std::shared_ptr<const PackFile>> Checker::open_packs() {
  std::vector<std::shared_ptr<const PackFile>> packs;
  for (const auto& entry : fs::directory_iterator(impl_.root / "packs")) {
    ++result_.packs;
    try {
      auto pack = std::make_shared<const PackFile>(entry.path());
      pack->check_index();
      packs.push_back(std::move(pack));
    } catch (const Error& e) {
      if (e.exit() != Exit::corrupt && e.error_number() == 0) throw;
      problem(e.message());
    }
  }
  return packs;
}

void Checker::check_frame(const PackFile& pack, const PackFrame& frame) {
  op_.cancel.check();
  Bytes content(frame.content);
  try {
    pack.read_content(frame, content);
  } catch (const Error& e) {
    problem(e.message() + " (" + std::to_string(frame.chunk_count) + " chunks are lost, the first is " +
            pack.chunks_of(frame)[0].digest.text() + ")");
    return;
  }
  for (const PackChunk& chunk : pack.chunks_of(frame)) {
    const bool right = Digest::of(ByteSpan(content).subspan(chunk.offset, chunk.length)) == chunk.digest;
    if (!right)
      problem("the chunk " + chunk.digest.text() + " in the pack " + pack.path().string() + " is corrupt");
    const std::lock_guard lock(mutex_);
    ++result_.chunks;
    if (right) good_.insert(chunk.digest);
  }
  op_.progress.advance(frame.stored);
}

void Checker::check_refs(RefKind kind) {
  for (const auto& entry : fs::directory_iterator(impl_.refs(kind))) {
    if (is_aside(entry.path())) continue;
    try {
      const Ref ref = read_ref(entry.path());
      follow(kind, std::string("the ") + to_string(kind) + " " + ref.name.text(), ref.digest);
    } catch (const Error& e) {
      if (e.error_number() != ENOENT) problem(e.message());
    }
  }
}

void Checker::follow(RefKind kind, const std::string& from, const Digest& manifest) {
  op_.cancel.check();
  std::vector<Digest> needed;
  if (!good_.contains(manifest)) {
    problem(from + ": its manifest " + manifest.text() + " is missing or corrupt");
    return;
  }
  const ManifestWalker& walk = walker_for(walkers_, kind);
  try {
    walk(store_, manifest, needed);
  } catch (const Error& e) {
    problem(from + ": " + e.message());
    return;
  }
  size_t missing = 0;
  for (const Digest& digest : needed)
    if (!good_.contains(digest) && !elsewhere(digest) && ++missing <= told_chunks)
      problem(from + ": its chunk " + digest.text() + " is missing or corrupt");
  if (missing > told_chunks)
    problem(from + ": so are " + std::to_string(missing - told_chunks) + " more of its chunks");
}

}  // namespace

Store::FsckResult Store::fsck(const ManifestWalkers& walkers, Operation& op) {
  return Checker(*this, *impl_, walkers, op).run();
}

}  // namespace coldstart
