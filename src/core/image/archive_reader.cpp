// SPDX-License-Identifier: Apache-2.0
#include "core/image/archive_reader.h"

#include <array>
#include <cerrno>

#include <archive.h>
#include <archive_entry.h>
#include <poll.h>
#include <unistd.h>

#include "core/base/error.h"

namespace coldstart {

ByteInput input_of_fd(int fd, std::string shown_as) {
  return [fd, shown = std::move(shown_as)](MutableByteSpan into, const CancelToken& cancel) -> size_t {
    for (;;) {
      std::array<pollfd, 2> waits = {{{fd, POLLIN, 0}, {cancel.fd(), POLLIN, 0}}};
      if (::poll(waits.data(), waits.size(), -1) < 0 && errno != EINTR)
        throw Error::sys("cannot wait for " + shown);
      cancel.check();
      if (waits[0].revents == 0) continue;
      const ssize_t n = ::read(fd, into.data(), into.size());
      if (n < 0 && errno == EISDIR) throw Error(shown + " is a folder");
      if (n < 0 && errno != EINTR && errno != EAGAIN) throw Error::sys("cannot read " + shown);
      if (n >= 0) return static_cast<size_t>(n);
    }
  };
}

/// No exception may pass through libarchive: it is kept, and thrown by fail().
struct ArchiveReader::Door {
  static la_ssize_t read(archive* a, void* self, const void** buffer) {
    auto* reader = static_cast<ArchiveReader*>(self);
    try {
      *buffer = reader->buffer_.data();
      return static_cast<la_ssize_t>(reader->input_(reader->buffer_, *reader->cancel_));
    } catch (...) {
      reader->failure_ = std::current_exception();
      ::archive_set_error(a, EIO, "cannot read");
      return ARCHIVE_FATAL;
    }
  }
  static la_int64_t skip(archive* a, void* self, la_int64_t bytes) {
    auto* reader = static_cast<ArchiveReader*>(self);
    try {
      if (!reader->skip_ || bytes <= 0) return 0;
      return static_cast<la_int64_t>(reader->skip_(static_cast<uint64_t>(bytes)));
    } catch (...) {
      reader->failure_ = std::current_exception();
      ::archive_set_error(a, EIO, "cannot skip");
      return ARCHIVE_FATAL;
    }
  }
};

void ArchiveReader::Free::operator()(archive* a) const {
  ::archive_read_free(a);
}

ArchiveReader::ArchiveReader(Format format, ByteInput input, ByteSkip skip, std::string shown_as)
    : input_(std::move(input)),
      skip_(std::move(skip)),
      shown_as_(std::move(shown_as)),
      archive_(::archive_read_new()),
      buffer_(size_t{256} << 10) {
  if (!archive_) throw Error("libarchive cannot start: out of memory");
  if (format == Format::tar)
    ::archive_read_support_format_tar(get());
  else
    ::archive_read_support_format_raw(get());
  ::archive_read_support_filter_gzip(get());
  ::archive_read_support_filter_zstd(get());
  ::archive_read_support_filter_xz(get());
}

ArchiveReader::~ArchiveReader() = default;

void ArchiveReader::fail() {
  if (failure_) std::rethrow_exception(failure_);
  const char* said = ::archive_error_string(get());
  throw Error::corrupt(shown_as_ + ": " + (said == nullptr ? "it is damaged" : said));
}

void ArchiveReader::open(const CancelToken& cancel) {
  cancel_ = &cancel;
  if (::archive_read_open2(get(), this, nullptr, Door::read, Door::skip, nullptr) == ARCHIVE_OK) return;
  if (failure_) std::rethrow_exception(failure_);
  throw Error::corrupt(shown_as_ + " is no tar, neither plain nor compressed with gzip, zstd or xz");
}

bool ArchiveReader::next(archive_entry** entry) {
  const int status = ::archive_read_next_header(get(), entry);
  if (status == ARCHIVE_EOF) return false;
  if (status != ARCHIVE_OK && !(status == ARCHIVE_WARN && kept_raw())) fail();
  return true;
}

bool ArchiveReader::next_block(ByteSpan& block, int64_t& offset) {
  const void* bytes = nullptr;
  size_t size = 0;
  la_int64_t at = 0;
  const int status = ::archive_read_data_block(get(), &bytes, &size, &at);
  if (status == ARCHIVE_EOF) return false;
  if (status != ARCHIVE_OK) fail();
  block = {static_cast<const std::byte*>(bytes), size};
  offset = at;
  return true;
}

bool ArchiveReader::compressed() const {
  return ::archive_filter_code(get(), 0) != ARCHIVE_FILTER_NONE;
}

/// The program runs in the locale "C", so libarchive fails to convert names that are not ASCII, says so, and
/// leaves them as the bytes that they are: which is what we want.
bool ArchiveReader::kept_raw() const {
  const char* said = ::archive_error_string(get());
  return said != nullptr && std::string_view(said).find("can't be converted from") != std::string_view::npos;
}

}  // namespace coldstart
