// SPDX-License-Identifier: Apache-2.0
#pragma once
// A cached file on its way: sparse, with a bitmap of the chunks that are there.
//
// The bitmap is a small file that every server process maps, so a chunk that one has written is there for
// all, and kill -9 loses nothing. A bit is set after its chunk's verified bytes were written. The map holds
// for one boot of the kernel only (a crash of the machine may lose written bytes, but not the bits), and only
// as long as the file was not touched by others: its modification time after each write is noted in the map.
// While a write is on its way, when the time does not tell, its writer holds an open file description's lock
// (fcntl(2)) on the map's first byte; unlike flock(2)'s, it can be looked at without being taken.
//
// The map:  0 magic (8)  8 boot (8)  16 chunks (8)  24 mtime seconds (8)  32 nanoseconds (8)  40 bits

#include <filesystem>
#include <memory>

#include "core/base/bytes.h"
#include "core/base/fd.h"

namespace coldstart {

/// Thread-safe, but write() is for one thread at a time, under lock().
class PartialFile {
 public:
  struct Header;

  /// Opens `path` and `path`.map; `make` creates them. Null if they are not there. Throws Error.
  static std::unique_ptr<PartialFile> open(const std::filesystem::path& path, uint64_t size, size_t chunks,
                                           bool make);
  PartialFile(const PartialFile&) = delete;
  PartialFile& operator=(const PartialFile&) = delete;
  ~PartialFile();

  bool has(size_t chunk) const;
  bool complete() const;
  /// Reads bytes of a chunk that is there. `*untouched` tells whether they can be believed as they are; else
  /// they must be verified. False if they are not there after all.
  bool read(uint64_t offset, MutableByteSpan into, bool* untouched) const;

  /// The right to write, among all processes, until destruction. False if another has it, or if the file is
  /// no longer on its way. Forgets what cannot be believed.
  bool lock();
  struct Piece {
    size_t chunk;
    uint64_t offset;
    ByteSpan bytes;
  };
  /// Adds chunks, verified by the caller. Those without a gap between them are written at once: what is
  /// written together lies together in the page cache, and is mapped faster. Forgets all that is there if it
  /// cannot be believed. Throws Error.
  void write(std::span<const Piece> pieces);
  /// Forgets a chunk that turned out to be wrong.
  void forget(size_t chunk);

  int fd() const { return file_.get(); }
  const std::filesystem::path& path() const { return path_; }

 private:
  PartialFile(std::filesystem::path path, Fd file, Fd map, size_t chunks);
  bool believable() const;
  bool being_written() const;
  bool untouched() const;
  void forget_all();
  void write_run(std::span<const Piece> run);
  void note_time();

  const std::filesystem::path path_;
  const Fd file_;
  const Fd map_;
  const size_t chunks_;
  Header* header_ = nullptr;  // mapped, shared with other processes; its bits are atomic
};

/// A number for the running boot of the kernel.
uint64_t boot_number();

}  // namespace coldstart
