// SPDX-License-Identifier: Apache-2.0
#include "core/gpu/journal.h"

#include <fstream>

#include <doctest/doctest.h>
#include <unistd.h>

#include "core/base/error.h"
#include "core/base/subprocess.h"

using namespace coldstart;

TEST_CASE("a journal is read up to its last whole line") {
  bool current = false;
  const std::string text =
      "coldstart gpu journal 1 boot\nlock 7 99\ncheckpoint 7 99\nlock 8 98\nrestore 7 99\nfailed 7 "
      "99\nrestore 8 9";
  const auto processes = parse_gpu_journal(text, "it", "boot", current);
  CHECK(current);
  REQUIRE(processes.size() == 2);
  CHECK(processes[0].pid == 7);
  CHECK(processes[0].restores == 1);
  CHECK(processes[0].restore_failed);
  CHECK(processes[1].restores == 0);
  parse_gpu_journal(text, "it", "another boot", current);
  CHECK_FALSE(current);
  CHECK(parse_gpu_journal("", "it", "boot", current).empty());
}

TEST_CASE("what is no journal is corrupt") {
  bool current = false;
  for (const char* text :
       {"something\n", "coldstart gpu journal 1 b\nlock\n", "coldstart gpu journal 1 b\nlock x 1\n",
        "coldstart gpu journal 1 b\nlock -1 1\n", "coldstart gpu journal 1 b\nlock 1 0\n"})
    CHECK_THROWS_AS(parse_gpu_journal(text, "it", "b", current), Error);
}

TEST_CASE("a journal is its controller's while that lives, then whoever asks first") {
  const TempDir store;
  const uint64_t started = start_time_of(::getpid());
  {
    GpuJournal journal = GpuJournal::create(store.path());
    journal.note("lock", ::getpid(), started);
    journal.note("restore", ::getpid(), started);
    CHECK(journal.processes().front().restores == 1);
    CHECK(GpuJournal::orphans(store.path()).empty());
  }
  auto orphans = GpuJournal::orphans(store.path());
  REQUIRE(orphans.size() == 1);
  CHECK(orphans.front().processes().front().pid == ::getpid());
  CHECK(orphans.front().processes().front().alive());
  CHECK(GpuJournal::orphans(store.path()).empty());
  orphans.front().remove();
  orphans.clear();
  CHECK(std::filesystem::is_empty(store.path() / "gpu"));
}

TEST_CASE("a journal of processes that are gone is removed") {
  const TempDir store;
  GpuJournal::create(store.path()).note("lock", ::getpid(), start_time_of(::getpid()) + 1);
  CHECK(GpuJournal::orphans(store.path()).empty());
  CHECK(std::filesystem::is_empty(store.path() / "gpu"));
  CHECK(GpuJournal::orphans(store.path() / "none").empty());
}
