// SPDX-License-Identifier: Apache-2.0
#include "core/imagefs/partial_file.h"

#include <array>
#include <atomic>
#include <cerrno>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/store/digest.h"

namespace coldstart {

namespace fs = std::filesystem;

namespace {

constexpr uint64_t map_magic = 0x31'70'61'6d'73'63;  // "csmap1"
constexpr size_t most_pieces = 64;                   // of one write
using Word = std::atomic<uint64_t>;
static_assert(Word::is_always_lock_free && sizeof(Word) == 8, "it lies in memory that processes share");

struct flock first_byte(short type) {
  struct flock lock {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_len = 1;
  return lock;
}

/// Tells readers that a write is on its way, for as long as it lives.
class WriteMark {
 public:
  explicit WriteMark(int map) : map_(map) {
    struct flock lock = first_byte(F_WRLCK);
    check(::fcntl(map_, F_OFD_SETLK, &lock), "cannot mark a write to the disk cache");
  }
  WriteMark(const WriteMark&) = delete;
  WriteMark& operator=(const WriteMark&) = delete;
  ~WriteMark() {
    struct flock lock = first_byte(F_UNLCK);
    ::fcntl(map_, F_OFD_SETLK, &lock);
  }

 private:
  const int map_;
};

}  // namespace

struct PartialFile::Header {
  Word magic, boot, chunks, seconds, nanoseconds;
  Word bits[1];

  static size_t bytes(size_t chunks) { return sizeof(Header) + (chunks + 63) / 64 * sizeof(Word); }
};

uint64_t boot_number() {
  static const uint64_t number = [] {
    const Digest digest = Digest::of(as_bytes(read_text("/proc/sys/kernel/random/boot_id", 128)));
    return load<uint64_t>(reinterpret_cast<const std::byte*>(digest.raw.data()));
  }();
  return number;
}

std::unique_ptr<PartialFile> PartialFile::open(const fs::path& path, uint64_t size, size_t chunks,
                                               bool make) {
  const int flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW | (make ? O_CREAT : 0);
  const std::string map_path = path.string() + ".map";
  Fd map(::open(map_path.c_str(), flags, 0600));
  if (!map && errno == ENOENT && !make) return nullptr;
  if (!map) throw Error::sys("cannot open " + map_path);
  Fd file(::open(path.c_str(), flags, 0600));
  if (!file && errno == ENOENT && !make) return nullptr;
  if (!file) throw Error::sys("cannot open " + path.string());
  // The map gets its blocks now: a full disk must not be found out by a write to mapped memory. Both files
  // only ever grow to these sizes, so it does not matter who is first.
  const int full = ::posix_fallocate(map.get(), 0, static_cast<off_t>(Header::bytes(chunks)));
  if (full != 0) throw Error::sys(full, "cannot size " + map_path);
  struct stat status {};
  check(::fstat(file.get(), &status), "cannot look at " + path.string());
  if (static_cast<uint64_t>(status.st_size) != size)
    check(::ftruncate(file.get(), static_cast<off_t>(size)), "cannot size " + path.string());
  return std::unique_ptr<PartialFile>(new PartialFile(path, std::move(file), std::move(map), chunks));
}

PartialFile::PartialFile(fs::path path, Fd file, Fd map, size_t chunks)
    : path_(std::move(path)), file_(std::move(file)), map_(std::move(map)), chunks_(chunks) {
  void* at = ::mmap(nullptr, Header::bytes(chunks), PROT_READ | PROT_WRITE, MAP_SHARED, map_.get(), 0);
  if (at == MAP_FAILED) throw Error::sys("cannot map " + path_.string() + ".map");
  header_ = static_cast<Header*>(at);
}

PartialFile::~PartialFile() {
  ::munmap(header_, Header::bytes(chunks_));
}

bool PartialFile::has(size_t chunk) const {
  if (header_->magic != map_magic || header_->boot != boot_number() || header_->chunks != chunks_)
    return false;
  return (header_->bits[chunk / 64].load(std::memory_order_acquire) >> (chunk % 64) & 1) != 0;
}

bool PartialFile::complete() const {
  for (size_t i = 0; i < chunks_; ++i)
    if (!has(i)) return false;
  return true;
}

bool PartialFile::believable() const {
  struct stat status {};
  return header_->magic == map_magic && header_->boot == boot_number() && header_->chunks == chunks_ &&
         ::fstat(file_.get(), &status) == 0 &&
         static_cast<uint64_t>(status.st_mtim.tv_sec) == header_->seconds &&
         static_cast<uint64_t>(status.st_mtim.tv_nsec) == header_->nanoseconds;
}

bool PartialFile::being_written() const {
  struct flock lock = first_byte(F_RDLCK);
  return ::fcntl(map_.get(), F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

bool PartialFile::untouched() const {
  // Again, as a write may begin or end between the two looks.
  for (int i = 0; i < 4; ++i)
    if (believable() || being_written()) return true;
  return false;
}

bool PartialFile::read(uint64_t offset, MutableByteSpan into, bool* untouched) const {
  try {
    if (pread_full(file_.get(), into, static_cast<off_t>(offset)) != into.size()) return false;
  } catch (const Error&) {
    return false;
  }
  *untouched = this->untouched();
  return true;
}

bool PartialFile::lock() {
  while (::flock(map_.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) return false;
    if (errno != EINTR) throw Error::sys("cannot lock " + path_.string() + ".map");
  }
  struct stat status {};
  check(::fstat(map_.get(), &status), "cannot look at " + path_.string() + ".map");
  if (status.st_nlink == 0) return false;  // sealed or dropped since it was opened
  if (!believable()) forget_all();
  return true;
}

void PartialFile::forget_all() {
  header_->magic = 0;
  for (size_t i = 0; i < (chunks_ + 63) / 64; ++i) header_->bits[i] = 0;
  header_->boot = boot_number();
  header_->chunks = chunks_;
  note_time();
  header_->magic = map_magic;
}

void PartialFile::note_time() {
  struct stat status {};
  check(::fstat(file_.get(), &status), "cannot look at " + path_.string());
  header_->seconds = static_cast<uint64_t>(status.st_mtim.tv_sec);
  header_->nanoseconds = static_cast<uint64_t>(status.st_mtim.tv_nsec);
}

void PartialFile::write(std::span<const Piece> pieces) {
  if (!believable()) forget_all();  // or what others did to it would go unnoticed from now on
  while (!pieces.empty()) {
    size_t count = 1;
    while (count < pieces.size() && count < most_pieces &&
           pieces[count].offset == pieces[count - 1].offset + pieces[count - 1].bytes.size())
      ++count;
    {
      const WriteMark mark(map_.get());
      write_run(pieces.first(count));
      note_time();
    }
    for (const Piece& piece : pieces.first(count))
      header_->bits[piece.chunk / 64].fetch_or(uint64_t{1} << (piece.chunk % 64), std::memory_order_release);
    pieces = pieces.subspan(count);
  }
}

void PartialFile::write_run(std::span<const Piece> run) {
  std::array<iovec, most_pieces> places{};
  ssize_t bytes = 0;
  for (size_t i = 0; i < run.size(); ++i) {
    places[i] = {const_cast<std::byte*>(run[i].bytes.data()), run[i].bytes.size()};
    bytes += static_cast<ssize_t>(run[i].bytes.size());
  }
  const auto offset = static_cast<off_t>(run.front().offset);
  if (::pwritev(file_.get(), places.data(), static_cast<int>(run.size()), offset) == bytes) return;
  // Interrupted, or there is no room: one by one tells.
  for (const Piece& piece : run) pwrite_full(file_.get(), piece.bytes, static_cast<off_t>(piece.offset));
}

void PartialFile::forget(size_t chunk) {
  header_->bits[chunk / 64].fetch_and(~(uint64_t{1} << (chunk % 64)));
}

}  // namespace coldstart
