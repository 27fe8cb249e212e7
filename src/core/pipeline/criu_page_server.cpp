// SPDX-License-Identifier: Apache-2.0
#include "core/pipeline/criu_page_server.h"

#include <fcntl.h>

#include "core/base/error.h"
#include "core/base/fd.h"

namespace coldstart {

CriuPageServer::CriuPageServer(const CriuProgram& criu, const std::filesystem::path& images,
                               const std::filesystem::path& work) {
  constexpr int status_number = 3;
  Pipe status = make_pipe();
  const Fd null = open_file("/dev/null", O_RDWR);
  SpawnOptions spawn;
  spawn.argv = {criu.path().string(),
                "lazy-pages",
                "-D",
                images.string(),
                "-W",
                work.string(),
                "-o",
                "crius-pages.log",
                "-v1",
                "--status-fd",
                std::to_string(status_number)};
  spawn.fds = {{null.get(), 0}, {null.get(), 1}, {null.get(), 2}, {status.write.get(), status_number}};
  spawn.die_with_us = true;
  server_ = Child(spawn);
  status.write.reset();
  std::byte ready{};
  if (read_full(status.read.get(), std::span(&ready, 1)) != 1)
    throw Error("CRIU's page server does not start", "see " + (work / "crius-pages.log").string());
}

}  // namespace coldstart
