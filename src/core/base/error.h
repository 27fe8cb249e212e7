// SPDX-License-Identifier: Apache-2.0
#pragma once
// The one error type. An Error is made where a failure is known, travels up by `throw`, and is shown to
// the user once, by src/cli. Code in between may add context or translate it, but neither prints nor
// drops it.

#include <exception>
#include <string>
#include <string_view>

namespace coldstart {

/// Exit statuses of the tool; a part of the command line's contract.
enum class Exit : int {
  ok = 0,
  failed = 1,
  usage = 2,
  not_found = 3,         ///< no such image, snapshot, replica or pool
  corrupt = 4,           ///< data does not match its digest or its format
  incompatible = 5,      ///< this host cannot take that snapshot
  missing = 6,           ///< a needed program, kernel feature or permission is missing
  empty = 7,             ///< the pool is empty or the wait ran out
  cannot_execute = 126,  ///< the program that was to run is there, but cannot be executed
  no_program = 127,      ///< there is no such program; both as shells have it
  interrupted = 130,
  terminated = 143,
};

/// What failed, what to do about it, and the exit status that says so to scripts. A plain value: copy it
/// freely.
class Error : public std::exception {
 public:
  explicit Error(std::string what, std::string hint = {}, Exit exit = Exit::failed);

  /// For a failed system call: "<doing>: <text of errno>". Reads errno first, so call it at once.
  static Error sys(std::string_view doing, std::string hint = {}, Exit exit = Exit::failed);
  static Error sys(int error_number, std::string_view doing, std::string hint = {}, Exit exit = Exit::failed);

  static Error usage(std::string what, std::string hint = {});
  static Error not_found(std::string what, std::string hint = {});
  static Error corrupt(std::string what, std::string hint = {});
  static Error incompatible(std::string what, std::string hint = {});
  static Error missing(std::string what, std::string hint = {});

  const char* what() const noexcept override { return what_.c_str(); }
  const std::string& message() const { return what_; }
  const std::string& hint() const { return hint_; }
  Exit exit() const { return exit_; }
  /// errno of the failed system call, or 0.
  int error_number() const { return errno_; }

  /// The same error, with "<context>: " in front of what it says.
  Error in(std::string_view context) const;
  Error with_hint(std::string hint) const;

 private:
  std::string what_;
  std::string hint_;
  Exit exit_;
  int errno_ = 0;
};

/// Throws Error::sys(doing) if a system call returned -1, else hands its result on.
template <class T>
T check(T result, std::string_view doing) {
  if (result == static_cast<T>(-1)) throw Error::sys(doing);
  return result;
}

}  // namespace coldstart
