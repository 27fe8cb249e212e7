// SPDX-License-Identifier: Apache-2.0
#include "cli/output.h"

#include <cerrno>
#include <csignal>

#include "core/base/error.h"
#include "core/base/fd.h"

namespace coldstart {

OutputStream::OutputStream(int fd, CancelToken& cancel) : std::ostream(nullptr), buffer_(fd, cancel) {
  rdbuf(&buffer_);
  exceptions(std::ios::badbit);  // or the buffer's Error would be swallowed here
}

OutputStream::~OutputStream() {
  exceptions(std::ios::goodbit);
  flush();
}

OutputStream::Buffer::Buffer(int fd, CancelToken& cancel) : fd_(fd), cancel_(cancel) {
  setp(bytes_.data(), bytes_.data() + bytes_.size());
}

void OutputStream::Buffer::write_out() {
  const ByteSpan waiting = std::as_bytes(std::span(pbase(), pptr()));
  setp(bytes_.data(), bytes_.data() + bytes_.size());
  if (closed_ || waiting.empty()) return;
  try {
    write_full(fd_, waiting);
  } catch (const Error& e) {
    closed_ = true;
    if (e.error_number() != EPIPE) throw e.in("standard output");
    cancel_.cancel(SIGPIPE);
  }
}

OutputStream::Buffer::int_type OutputStream::Buffer::overflow(int_type c) {
  write_out();
  return traits_type::eq_int_type(c, traits_type::eof()) ? traits_type::not_eof(c)
                                                         : sputc(traits_type::to_char_type(c));
}

int OutputStream::Buffer::sync() {
  write_out();
  return 0;
}

}  // namespace coldstart
