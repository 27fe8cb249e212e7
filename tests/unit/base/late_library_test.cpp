// SPDX-License-Identifier: Apache-2.0
#include "core/base/late_library.h"

#include <curl/curl.h>
#include <doctest/doctest.h>

#include "core/base/error.h"

using namespace coldstart;

TEST_CASE("a library that is not there is named, with the package that has it") {
  LateLibrary library("libcoldstart-is-not-there.so.1", "libnothing1");
  try {
    library.find("anything");
    FAIL("it was found");
  } catch (const Error& e) {
    CHECK(e.exit() == Exit::missing);
    CHECK(e.message().find("libcoldstart-is-not-there.so.1") != std::string::npos);
    CHECK(e.hint() == "install the package libnothing1");
  }
}

TEST_CASE("a function that a library lacks is an error") {
  LateLibrary library("libc.so.6", "libc6");
  CHECK(library.find("strlen") != nullptr);
  CHECK_THROWS_AS(library.find("coldstart_is_not_there"), Error);
}

TEST_CASE("calls that take anything pass a long, a pointer and an offset on as they are") {
  CURL* curl = curl_easy_init();
  REQUIRE(curl != nullptr);
  int mark = 0;
  CHECK(curl_easy_setopt(curl, CURLOPT_PRIVATE, &mark) == CURLE_OK);
  int* back = nullptr;
  CHECK(curl_easy_getinfo(curl, CURLINFO_PRIVATE, &back) == CURLE_OK);
  CHECK(back == &mark);
  CHECK(curl_easy_setopt(curl, CURLOPT_MAXFILESIZE_LARGE, curl_off_t{-1}) == CURLE_BAD_FUNCTION_ARGUMENT);
  CHECK(curl_easy_setopt(curl, CURLOPT_MAXREDIRS, -2L) == CURLE_BAD_FUNCTION_ARGUMENT);
  CHECK(curl_easy_setopt(curl, CURLOPT_MAXREDIRS, 3L) == CURLE_OK);
  curl_easy_cleanup(curl);
}
