// SPDX-License-Identifier: Apache-2.0
#include "core/sandbox/loader_cache.h"

#include <algorithm>
#include <sstream>

#include <doctest/doctest.h>
#include <fcntl.h>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/subprocess.h"

using namespace coldstart;

namespace {

/// What ldconfig reads in a cache, a line a library.
std::vector<std::string> listed(const Bytes& cache) {
  const TempDir folder;
  const std::string file = folder.path() / "cache";
  write_full(open_file(file, O_WRONLY | O_CREAT | O_EXCL).get(), cache);
  const Output said = run_program({"/sbin/ldconfig", "-p", "-C", file}, std::chrono::seconds(20));
  REQUIRE(said.exit.ok());
  std::istringstream in(said.out);
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);)
    if (line.starts_with("\t")) lines.push_back(line.substr(1));
  return lines;
}

/// A cache of this host, as ldconfig makes it.
Bytes made(const std::string& format) {
  const TempDir folder;
  const std::string file = folder.path() / "cache";
  const Output said =
      run_program({"/sbin/ldconfig", "-X", "-c", format, "-C", file}, std::chrono::seconds(60));
  REQUIRE(said.exit.ok());
  return read_file(file);
}

}  // namespace

TEST_CASE("loader cache: what is read is written again") {
  for (const char* format : {"new", "compat"}) {
    CAPTURE(format);
    const Bytes cache = made(format);
    const std::vector<std::string> before = listed(cache);
    CHECK(before.size() > 10);
    const Bytes again = LoaderCache(cache).file();
    CHECK(listed(again) == before);
    CHECK(LoaderCache(again).file() == again);
  }
}

TEST_CASE("loader cache: a library is added where the loader looks for it") {
  const Bytes cache = made("new");
  LoaderCache changed(cache);
  for (const char* name : {"libcuda.so.1", "libcuda.so", "libnvidia-ml.so.1", "libaaa.so.10", "libaaa.so.9",
                           "libzzz9.so", "libzzz10.so", "libzzzz.so"})
    changed.add(name, std::string("/opt/") + name);
  CHECK(changed.find("libcuda.so.1") == "/opt/libcuda.so.1");
  CHECK(changed.find("libcuda.so.2").empty());
  // ldconfig sorts as the loader searches.
  const std::vector<std::string> lines = listed(changed.file());
  CHECK(lines.size() == listed(cache).size() + 8);
  const auto place = [&](const std::string& name) {
    const auto at = std::find(lines.begin(), lines.end(), name + " (libc6,x86-64) => /opt/" + name);
    REQUIRE(at != lines.end());
    return at - lines.begin();
  };
  CHECK(place("libzzz10.so") < place("libzzz9.so"));
  CHECK(place("libzzz9.so") < place("libzzzz.so"));
  CHECK(place("libcuda.so.1") < place("libcuda.so"));
  CHECK(place("libaaa.so.10") < place("libaaa.so.9"));
  // Every one taken out and added again stands where it stood.
  LoaderCache all(cache);
  const std::vector<std::string> before = listed(cache);
  const auto name_of = [](const std::string& line) { return line.substr(0, line.find(' ')); };
  for (const std::string& line : before) {
    const auto same = [&](const std::string& other) { return name_of(other) == name_of(line); };
    if (std::count_if(before.begin(), before.end(), same) == 1 &&  // else it is for another machine, too
        line.find("(libc6,x86-64)") != std::string::npos)
      all.add(name_of(line), line.substr(line.find("=> ") + 3));
  }
  CHECK(listed(all.file()) == before);
}

TEST_CASE("loader cache: what is there of that name goes") {
  LoaderCache cache;
  cache.add("libcuda.so.1", "/old");
  cache.add("libcuda.so.1", "/new");
  CHECK(listed(cache.file()) == std::vector<std::string>{"libcuda.so.1 (libc6,x86-64) => /new"});
}

TEST_CASE("loader cache: names of hardware are kept") {
  // As glibc 2.33 and newer write them: one library in glibc-hwcaps/x86-64-v3.
  LoaderCache with;
  with.add("libx.so.1", "/lib/glibc-hwcaps/x86-64-v3/libx.so.1");
  Bytes file = with.file();
  const auto put = [&](uint32_t value) { append(file, bytes_of(value)); };
  const uint64_t hardware = uint64_t{1} << 62;
  std::memcpy(file.data() + 48 + 16, &hardware, sizeof hardware);
  const auto name = static_cast<uint32_t>(file.size());
  append(file, as_bytes(std::string_view("x86-64-v3\0", 10)));
  file.resize((file.size() + 3) / 4 * 4);
  const auto extensions = static_cast<uint32_t>(file.size());
  std::memcpy(file.data() + 32, &extensions, sizeof extensions);
  put(0xeaa42174);
  put(1);
  for (const uint32_t value : {1U, 0U, extensions + 24, 4U, name}) put(value);
  const std::vector<std::string> before = listed(file);
  REQUIRE(before.size() == 1);
  CHECK(before[0].find("hwcap: \"x86-64-v3\"") != std::string::npos);
  LoaderCache cache(file);
  cache.add("libcuda.so.1", "/opt/libcuda.so.1");
  const std::vector<std::string> after = listed(cache.file());
  CHECK(after == std::vector<std::string>{before[0], "libcuda.so.1 (libc6,x86-64) => /opt/libcuda.so.1"});
}

TEST_CASE("loader cache: what is none is an error") {
  const Bytes cache = LoaderCache(made("compat")).file();
  const auto is_corrupt = [](ByteSpan bytes) {
    try {
      const LoaderCache parsed(bytes);
      return false;
    } catch (const Error& e) {
      return e.exit() == Exit::corrupt;
    }
  };
  CHECK(is_corrupt({}));
  CHECK(is_corrupt(to_bytes("no cache")));
  CHECK(is_corrupt(to_bytes("ld.so-1.7.0")));
  for (size_t bytes = 0; bytes < 2000; ++bytes) CHECK(is_corrupt(ByteSpan(cache).first(bytes)));
  CHECK(is_corrupt(ByteSpan(cache).first(cache.size() - 1)));
}
