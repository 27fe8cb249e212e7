// SPDX-License-Identifier: Apache-2.0
// From a source to an image in the store. One thread walks and reads; the store's threads hash and compress
// behind it.
//
// A file is cut by a fixed grid. Of each cell, the zero blocks at its beginning and end are left out, so a
// hole is found by content: the same bytes give the same image whether the source knew of the hole or not.
#include <algorithm>
#include <bit>

#include "core/base/error.h"
#include "core/base/progress_task.h"
#include "core/image/image.h"
#include "core/image/path.h"
#include "core/image/source.h"
#include "core/image/tree.h"

namespace coldstart {

namespace {

constexpr size_t zero_block = 4096;  // holes are found at this granularity

class Builder {
 public:
  Builder(const std::shared_ptr<Store>& store, const BuildOptions& options, Operation& op)
      : store_(*store), options_(options), op_(op), writer_(store, options.pack, op) {}

  void take(TreeSource& source) {
    config_ = source.config();
    auto span = op_.timeline.span("image.read");
    source.walk(
        [&](SourceEntry& e, const TreeSource::Read& read) {
          op_.cancel.check();
          tree_.add(e);
          if (S_ISREG(e.stat.st_mode) && !e.hard_link) file(e, read);
        },
        op_.cancel);
    writer_.flush();
  }

  PackStats publish(const std::optional<RefName>& ref) {
    auto span = op_.timeline.span("image.publish");
    const BlobSections sections = tree_.finish();
    const Bytes blob = sections.assemble();
    ImageManifest manifest;
    for (size_t at = 0; at < blob.size(); at += blob_chunk_bytes) {
      const auto piece = ByteSpan(blob).subspan(at, std::min(blob_chunk_bytes, blob.size() - at));
      manifest.blob_chunks.push_back(writer_.put_now({piece.begin(), piece.end()}));
    }
    manifest.blob_bytes = blob.size();
    manifest.files = sections.inodes.size();
    manifest.bytes = sections.total_bytes;
    manifest.config = config_;

    PackStats stats;
    stats.digest = writer_.put_now(to_bytes(manifest.to_json()));
    writer_.finish();
    if (ref) store_.set_ref(RefKind::image, *ref, stats.digest);
    stats.files = manifest.files;
    stats.bytes = manifest.bytes;
    stats.new_bytes = writer_.new_stored_bytes();
    stats.stored_bytes = image_stored_bytes(store_, stats.digest);
    return stats;
  }

 private:
  void file(const SourceEntry& e, const TreeSource::Read& read) {
    const auto size = static_cast<uint64_t>(e.stat.st_size);
    Bytes cell;
    uint64_t cell_start = 0;
    for (const DataRange& range : e.ranges) {
      for (uint64_t at = range.offset, end = range.offset + range.length; at < end;) {
        const uint64_t start = at & ~static_cast<uint64_t>(options_.chunk_bytes - 1);
        if (cell.empty() || start != cell_start) {
          put(std::move(cell), cell_start);
          cell = Bytes(std::min<uint64_t>(options_.chunk_bytes, size - start));
          cell_start = start;
        }
        const auto rest = MutableByteSpan(cell).subspan(at - start);
        at += fill(rest.first(std::min<uint64_t>(rest.size(), end - at)), e, read);
      }
    }
    put(std::move(cell), cell_start);
  }

  size_t fill(MutableByteSpan into, const SourceEntry& e, const TreeSource::Read& read) {
    op_.cancel.check();
    const size_t n = read(into);
    if (n == 0) throw Error("the bytes of " + shown(e.path) + " end too early");
    op_.progress.advance(n);
    return n;
  }

  /// One cell of the grid, without the zero blocks around it.
  void put(Bytes cell, uint64_t start) {
    size_t begin = 0;
    size_t end = cell.size();
    const auto zero = [&](size_t from, size_t to) {
      return all_zero(ByteSpan(cell).subspan(from, to - from));
    };
    while (end > 0 && zero((end - 1) / zero_block * zero_block, end))
      end = (end - 1) / zero_block * zero_block;
    if (end == 0) return;
    while (zero(begin, std::min(begin + zero_block, end))) begin += zero_block;
    cell.resize(end);
    cell.erase(cell.begin(), cell.begin() + static_cast<ptrdiff_t>(begin));
    auto& piece = tree_.add_piece(start + begin, static_cast<uint32_t>(cell.size()));
    writer_.put(std::move(cell), &piece.digest);
  }

  Store& store_;
  const BuildOptions& options_;
  Operation& op_;
  ImageConfig config_;
  ImageTree tree_;  // before writer_, which writes into it until it is gone
  PackWriter writer_;
};

}  // namespace

PackStats build_image(const std::shared_ptr<Store>& store, TreeSource& source, const BuildOptions& options,
                      const std::optional<RefName>& ref, Operation& op) {
  if (!std::has_single_bit(options.chunk_bytes) || options.chunk_bytes < (size_t{4} << 10) ||
      options.chunk_bytes > (size_t{16} << 20))
    throw Error::usage("the chunk size must be a power of two from 4 KiB to 16 MiB");
  Builder builder(store, options, op);
  {
    const ProgressTask task(op.progress, "packing", source.total_bytes());
    builder.take(source);
  }
  return builder.publish(ref);
}

}  // namespace coldstart
