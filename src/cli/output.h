// SPDX-License-Identifier: Apache-2.0
#pragma once
// Standard output as a stream that says when it cannot write.

#include <array>
#include <ostream>
#include <streambuf>

#include "core/base/cancel.h"

namespace coldstart {

/// A buffered stream on a descriptor that it does not own. Not thread-safe.
///
/// What cannot be written is an Error (a full disk), thrown out of `<<` and flush. A reader that went away,
/// as in `coldstart … | head`, is none: the rest is dropped, and `cancel` is told (SIGPIPE) so that what
/// would go on writing for ever stops.
class OutputStream : public std::ostream {
 public:
  OutputStream(int fd, CancelToken& cancel);
  ~OutputStream() override;

 private:
  class Buffer : public std::streambuf {
   public:
    Buffer(int fd, CancelToken& cancel);

   protected:
    int_type overflow(int_type c) override;
    int sync() override;

   private:
    void write_out();
    int fd_;
    CancelToken& cancel_;
    bool closed_ = false;  // nobody reads, or writing failed: drop what comes
    std::array<char, 64 << 10> bytes_;
  };

  Buffer buffer_;
};

}  // namespace coldstart
