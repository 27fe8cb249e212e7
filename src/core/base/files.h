// SPDX-License-Identifier: Apache-2.0
#pragma once
// Whole files: reading, atomic writing, temporary folders, file locks, memory mappings.

#include <filesystem>
#include <optional>
#include <string>

#include "core/base/bytes.h"
#include "core/base/fd.h"

namespace coldstart {

/// The whole file. Throws if it is larger than `limit` bytes.
Bytes read_file(const std::filesystem::path& path, size_t limit = size_t{1} << 30);
std::string read_text(const std::filesystem::path& path, size_t limit = size_t{64} << 20);

/// Publishes a file: written aside in the same folder, fsynced, renamed over `path`, folder fsynced.
/// After a crash the old file or the new one is there, never a part.
void write_file_atomic(const std::filesystem::path& path, ByteSpan bytes, mode_t mode = 0600);

/// fsync of a folder, so that names made or renamed in it survive a crash.
void sync_folder(const std::filesystem::path& folder);

/// mkdir -p with a mode for every folder it makes.
void make_folders(const std::filesystem::path& folder, mode_t mode = 0700);

/// A folder of its own, removed with all that is in it. Move-only.
class TempDir {
 public:
  /// `parent` empty: $TMPDIR or /tmp.
  explicit TempDir(const std::filesystem::path& parent = {}, const std::string& prefix = "coldstart-");
  TempDir(TempDir&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  TempDir& operator=(TempDir&& other) noexcept;
  ~TempDir();
  const std::filesystem::path& path() const { return path_; }
  /// Gives the folder up: it is no longer removed.
  std::filesystem::path release() { return std::exchange(path_, {}); }

 private:
  void remove() noexcept;
  std::filesystem::path path_;
};

/// An flock(2) held until destruction. It dies with the process, so a crash never leaves a lock behind.
class FileLock {
 public:
  enum class Mode { shared, exclusive };
  /// Waits for the lock. The file is created if need be.
  FileLock(const std::filesystem::path& path, Mode mode);
  /// Empty if another holds it.
  static std::optional<FileLock> try_lock(const std::filesystem::path& path, Mode mode);
  int fd() const { return fd_.get(); }

 private:
  explicit FileLock(Fd fd) : fd_(std::move(fd)) {}
  Fd fd_;
};

/// A read-only mapping of a whole file.
class FileMapping {
 public:
  FileMapping() = default;
  explicit FileMapping(const std::filesystem::path& path);
  FileMapping(int fd, const std::string& shown);
  FileMapping(FileMapping&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}
  FileMapping& operator=(FileMapping&& other) noexcept;
  ~FileMapping();
  ByteSpan bytes() const { return bytes_; }

 private:
  void map(int fd, const std::string& shown);
  ByteSpan bytes_;
};

}  // namespace coldstart
