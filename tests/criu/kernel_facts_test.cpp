// SPDX-License-Identifier: Apache-2.0
// What CRIU knows of the kernel is found out once, used inside, and leaves no file there.

#include <fstream>

#include <doctest/doctest.h>

#include "server.h"

using namespace coldstart;
namespace fs = std::filesystem;

TEST_CASE("kernel facts are found out once, outlive nothing else, and are used by CRIU inside") {
  const TempDir folder("/var/tmp", "coldstart-criu-");
  std::ofstream(folder.path() / "criu-kernel-4.2-of-another-boot") << "old";
  const bool there_before = fs::exists("/run/criu.kdat");
  const Bytes facts = criu_kernel_facts(the_criu(), folder.path());
  CHECK(facts.size() > 100);
  CHECK(fs::exists("/run/criu.kdat") == there_before);
  CHECK(std::distance(fs::directory_iterator(folder.path()), {}) == 1);

  // The second time they are read: a file that was changed comes back as it is.
  const fs::path kept = fs::directory_iterator(folder.path())->path();
  std::ofstream(kept) << "as it is";
  CHECK(as_text(criu_kernel_facts(the_criu(), folder.path())) == "as it is");

  Server server;
  server.start({"sleep", "1000"});
  Snapshot snapshot;
  snapshot.dump_options.kernel_facts = facts;
  snapshot.dump_options.log_level = 4;
  std::string log;
  snapshot.dump(server, [&](std::string_view) {
    log = read_text(snapshot.dump_options.log);
    CHECK_FALSE(fs::exists(server.box.inside("/run/criu.kdat")));
  });
  CHECK(log.find("Loaded kdat cache") != std::string::npos);
  CHECK_FALSE(fs::exists(server.box.inside("/run/criu.kdat")));
}
