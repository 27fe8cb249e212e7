// SPDX-License-Identifier: Apache-2.0
// Every chunk of an image against its digest. Chunks stand in the image in about the order in which they are
// stored, so neighbours are read together, a frame at a time.
#include <algorithm>
#include <map>
#include <mutex>
#include <unordered_set>

#include "core/base/error.h"
#include "core/base/progress_task.h"
#include "core/base/workers.h"
#include "core/image/image.h"
#include "core/image/path.h"
#include "core/image/walk.h"

namespace coldstart {

namespace {

constexpr size_t batch_chunks = 256;
constexpr size_t most_files = 10;  // named for one chunk

class Verifier {
 public:
  Verifier(Store& store, const ImageReader& image, Operation& op) : store_(store), image_(image), op_(op) {}

  VerifyResult run(unsigned jobs) {
    const auto chunks = image_.chunks();
    {
      Workers workers(jobs == 0 ? default_jobs() : jobs, 4);
      for (size_t at = 0; at < chunks.size(); at += batch_chunks)
        workers.submit(
            [this, part = chunks.subspan(at, std::min(batch_chunks, chunks.size() - at))] { check(part); });
      workers.wait();
    }
    name_files();
    VerifyResult result;
    result.chunks = chunks.size();
    for (auto& [index, corrupt] : corrupt_) result.corrupt.push_back(std::move(corrupt));
    return result;
  }

 private:
  void check(std::span<const ChunkRecord> chunks) {
    std::unordered_set<Digest, DigestHash> good;
    for (const ChunkRecord& chunk : chunks) {
      op_.cancel.check();
      const Digest digest = ImageReader::digest(chunk);
      if (good.count(digest) == 0) {
        const std::string problem = read(digest, chunk.length, good);
        if (!problem.empty()) {
          const std::lock_guard lock(mutex_);
          corrupt_[static_cast<uint32_t>(&chunk - image_.chunks().data())] = {digest, {}, problem};
        }
      }
      op_.progress.advance(chunk.length);
    }
  }

  /// Reads the frame of `digest` and notes all chunks in it that are right; gives what is wrong with this
  /// one.
  std::string read(const Digest& digest, uint32_t length, std::unordered_set<Digest, DigestHash>& good) {
    std::string problem;
    const auto note = [&](const Digest& d, ByteSpan bytes) {
      if (d == digest && bytes.size() != length) problem = "it has the wrong length";
      good.insert(d);
    };
    try {
      store_.read_frame(digest, note);
    } catch (const Error&) {
      // One bad chunk spoils its frame's reading, but not always its neighbours.
      try {
        note(digest, store_.read(digest));
      } catch (const Error& e) {
        problem = e.message();
      }
    }
    return problem;
  }

  /// The names of files that have a corrupt chunk.
  void name_files() {
    if (corrupt_.empty()) return;
    struct Visitor {
      Verifier& self;
      void enter(const std::string&, std::string_view, uint32_t) {}
      void leave(const std::string&, uint32_t) {}
      void visit(const std::string& path, std::string_view, uint32_t inode) {
        for (const ExtentRecord& e : self.image_.extents(self.image_.inode(inode))) {
          const auto at = self.corrupt_.find(e.chunk);
          if (at == self.corrupt_.end()) continue;
          auto& files = at->second.files;
          if (files.size() < most_files && (files.empty() || files.back() != path)) files.push_back(path);
        }
      }
    };
    walk_tree(image_, Visitor{*this});
  }

  Store& store_;
  const ImageReader& image_;
  Operation& op_;
  std::mutex mutex_;  // guards corrupt_
  std::map<uint32_t, VerifyResult::Corrupt> corrupt_;
};

}  // namespace

VerifyResult verify_image(Store& store, const ImageReader& image, unsigned jobs, Operation& op) {
  auto span = op.timeline.span("image.verify");
  const ProgressTask task(op.progress, "verifying", image.total_bytes());
  return Verifier(store, image, op).run(jobs);
}

}  // namespace coldstart
