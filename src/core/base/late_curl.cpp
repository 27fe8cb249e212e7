// SPDX-License-Identifier: Apache-2.0
// libcurl, loaded when it is first called: see late_library.h.

#include <cstdarg>

#include <curl/curl.h>

#include "core/base/late_library.h"

// The header checks the types of these by macros of the same names.
#undef curl_easy_setopt
#undef curl_easy_getinfo
#undef curl_multi_setopt

namespace {

coldstart::LateLibrary curl("libcurl.so.4", "libcurl4");

}  // namespace

COLDSTART_LATE(curl, CURLcode, curl_global_init, (long flags), (flags))
COLDSTART_LATE(curl, CURL*, curl_easy_init, (), ())
COLDSTART_LATE(curl, void, curl_easy_cleanup, (CURL * handle), (handle))
COLDSTART_LATE(curl, void, curl_easy_reset, (CURL * handle), (handle))
COLDSTART_LATE(curl, CURLcode, curl_easy_perform, (CURL * handle), (handle))
COLDSTART_LATE(curl, CURLcode, curl_easy_pause, (CURL * handle, int action), (handle, action))
COLDSTART_LATE(curl, const char*, curl_easy_strerror, (CURLcode code), (code))
COLDSTART_LATE(curl, char*, curl_easy_escape, (CURL * handle, const char* text, int length),
               (handle, text, length))
COLDSTART_LATE(curl, void, curl_free, (void* text), (text))
COLDSTART_LATE(curl, curl_slist*, curl_slist_append, (curl_slist * list, const char* text), (list, text))
COLDSTART_LATE(curl, void, curl_slist_free_all, (curl_slist * list), (list))
COLDSTART_LATE(curl, CURLM*, curl_multi_init, (), ())
COLDSTART_LATE(curl, CURLMcode, curl_multi_cleanup, (CURLM * multi), (multi))
COLDSTART_LATE(curl, CURLMcode, curl_multi_add_handle, (CURLM * multi, CURL* handle), (multi, handle))
COLDSTART_LATE(curl, CURLMcode, curl_multi_remove_handle, (CURLM * multi, CURL* handle), (multi, handle))
COLDSTART_LATE(curl, CURLMcode, curl_multi_perform, (CURLM * multi, int* running), (multi, running))
COLDSTART_LATE(curl, CURLMcode, curl_multi_poll,
               (CURLM * multi, curl_waitfd extra[], unsigned count, int timeout, int* ready),
               (multi, extra, count, timeout, ready))
COLDSTART_LATE(curl, CURLMcode, curl_multi_wakeup, (CURLM * multi), (multi))
COLDSTART_LATE(curl, CURLMsg*, curl_multi_info_read, (CURLM * multi, int* left), (multi, left))
COLDSTART_LATE(curl, const char*, curl_multi_strerror, (CURLMcode code), (code))

// Those that take anything: a long, a pointer or a curl_off_t, each of which fits a pointer's place. That the
// last parameter with a name is an enumeration is as the header has it.
#pragma GCC diagnostic ignored "-Wvarargs"
static_assert(sizeof(long) == sizeof(void*) && sizeof(curl_off_t) == sizeof(void*));

// NOLINTNEXTLINE(bugprone-macro-parentheses): types cannot stand in parentheses
#define COLDSTART_LATE_VARIADIC(result, function, handle, option)                                       \
  extern "C" result function(handle h, option o, ...) {                                                 \
    static const auto target = reinterpret_cast<result (*)(handle, option, ...)>(curl.find(#function)); \
    std::va_list words;                                                                                 \
    va_start(words, o);                                                                                 \
    void* word = va_arg(words, void*);                                                                  \
    va_end(words);                                                                                      \
    return target(h, o, word);                                                                          \
  }

COLDSTART_LATE_VARIADIC(CURLcode, curl_easy_setopt, CURL*, CURLoption)
COLDSTART_LATE_VARIADIC(CURLcode, curl_easy_getinfo, CURL*, CURLINFO)
COLDSTART_LATE_VARIADIC(CURLMcode, curl_multi_setopt, CURLM*, CURLMoption)

void coldstart::load_curl() {
  curl.find("curl_easy_init");
}
