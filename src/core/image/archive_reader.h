// SPDX-License-Identifier: Apache-2.0
#pragma once
// libarchive fed by inputs of ours, with our errors.

#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/base/bytes.h"
#include "core/base/cancel.h"

struct archive;
struct archive_entry;

namespace coldstart {

/// Bytes as they come: fills as much of the span as there is at once (some, unless it is empty) and gives the
/// count, 0 at the end. May throw; ends with the token.
using ByteInput = std::function<size_t(MutableByteSpan, const CancelToken&)>;
/// Leaves out at most that many bytes and gives how many; 0: cannot.
using ByteSkip = std::function<uint64_t(uint64_t)>;

/// What read(2) gives, waited for in a way that Ctrl-C ends. `fd` stays the caller's.
ByteInput input_of_fd(int fd, std::string shown_as);

/// Not thread-safe.
class ArchiveReader {
 public:
  enum class Format {
    tar,  ///< plain or compressed with gzip, zstd or xz
    raw   ///< one nameless entry: the input, decompressed if it is compressed
  };
  /// `shown_as` for messages: "the tar x.tar".
  ArchiveReader(Format format, ByteInput input, ByteSkip skip, std::string shown_as);
  ArchiveReader(const ArchiveReader&) = delete;
  ArchiveReader& operator=(const ArchiveReader&) = delete;
  ~ArchiveReader();

  /// Reads the beginning. Throws Error::corrupt if that is no such format. `cancel` must outlive this object.
  void open(const CancelToken& cancel);
  /// The next entry, which libarchive owns; false at the end.
  bool next(archive_entry** entry);
  /// The entry's next block and where it stands in it; false at the entry's end.
  bool next_block(ByteSpan& block, int64_t& offset);
  bool compressed() const;
  archive* get() const { return archive_.get(); }

 private:
  struct Free {
    void operator()(archive* a) const;
  };
  struct Door;  // libarchive's callbacks

  [[noreturn]] void fail();
  bool kept_raw() const;

  const ByteInput input_;
  const ByteSkip skip_;
  const std::string shown_as_;
  const std::unique_ptr<archive, Free> archive_;
  std::vector<std::byte> buffer_;
  const CancelToken* cancel_ = nullptr;
  std::exception_ptr failure_;
};

}  // namespace coldstart
