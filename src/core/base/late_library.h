// SPDX-License-Identifier: Apache-2.0
#pragma once
// Libraries that are loaded when they are first called.
//
// libcurl and libarchive bring forty others along; the dynamic loader takes longer over those than a whole
// `coldstart --version`, and every helper process of a restore would pay for it again. So we do not link
// them: late_curl.cpp and late_archive.cpp define the functions that we call, under their own names, and pass
// each call on. Callers include the library's header and notice nothing.
//
// To call a function that is not there yet (the linker says so), add its line.

#include <atomic>

namespace coldstart {

/// One library. Thread-safe; meant to be a static object. Never unloaded.
class LateLibrary {
 public:
  /// `name` is what dlopen(3) takes, `package` what to install where it is missing.
  constexpr LateLibrary(const char* name, const char* package) : name_(name), package_(package) {}
  /// The address of a function. Throws Error::missing where there is no such library or function.
  void* find(const char* function);

 private:
  const char* const name_;
  const char* const package_;
  std::atomic<void*> handle_{nullptr};
};

/// Loads libcurl now, so that a first request need not wait for it.
void load_curl();

}  // namespace coldstart

// NOLINTBEGIN(bugprone-macro-parentheses): types cannot stand in parentheses
/// Defines RESULT FUNCTION PARAMETERS, which calls the one in `library`. ARGUMENTS repeats the parameters'
/// names.
#define COLDSTART_LATE(library, result, function, parameters, arguments)                          \
  extern "C" result function parameters {                                                         \
    static const auto target = reinterpret_cast<result(*) parameters>((library).find(#function)); \
    return target arguments;                                                                      \
  }
// NOLINTEND(bugprone-macro-parentheses)
