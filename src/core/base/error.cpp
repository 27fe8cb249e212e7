// SPDX-License-Identifier: Apache-2.0
#include "core/base/error.h"

#include <cerrno>
#include <system_error>
#include <utility>

namespace coldstart {

Error::Error(std::string what, std::string hint, Exit exit)
    : what_(std::move(what)), hint_(std::move(hint)), exit_(exit) {}

Error Error::sys(std::string_view doing, std::string hint, Exit exit) {
  return sys(errno, doing, std::move(hint), exit);
}

Error Error::sys(int error_number, std::string_view doing, std::string hint, Exit exit) {
  Error e(std::string(doing) + ": " + std::generic_category().message(error_number), std::move(hint), exit);
  e.errno_ = error_number;
  return e;
}

Error Error::usage(std::string what, std::string hint) {
  return Error(std::move(what), std::move(hint), Exit::usage);
}
Error Error::not_found(std::string what, std::string hint) {
  return Error(std::move(what), std::move(hint), Exit::not_found);
}
Error Error::corrupt(std::string what, std::string hint) {
  return Error(std::move(what), std::move(hint), Exit::corrupt);
}
Error Error::incompatible(std::string what, std::string hint) {
  return Error(std::move(what), std::move(hint), Exit::incompatible);
}
Error Error::missing(std::string what, std::string hint) {
  return Error(std::move(what), std::move(hint), Exit::missing);
}

Error Error::in(std::string_view context) const {
  Error e = *this;
  e.what_ = std::string(context) + ": " + what_;
  return e;
}

Error Error::with_hint(std::string hint) const {
  Error e = *this;
  e.hint_ = std::move(hint);
  return e;
}

}  // namespace coldstart
