// SPDX-License-Identifier: Apache-2.0
#include "server.h"

#include <fcntl.h>

using namespace coldstart;
namespace fs = std::filesystem;

Server::Server() : box("/") {}

void Server::start(const std::vector<std::string>& argv) {
  const Fd null = open_file(box.inside("/dev/null"), O_RDONLY);  // of a mount inside
  ProgramSpec spec;
  spec.argv = argv;
  spec.environment = {"PATH=/usr/local/bin:/usr/bin:/bin", "UV_USE_IO_URING=0"};
  spec.fds = {{null.get(), 0}, {out.write.get(), 1}, {out.write.get(), 2}};
  process = box.start(spec);
  out.write.reset();
}

void Server::start_python(const std::string& program) {
  start({"python3", "-c", program});
  read_line();
}

std::string Server::read_line() const {
  std::string line;
  for (std::byte byte{}; read_full(out.read.get(), {&byte, 1}) == 1 && byte != std::byte{'\n'};)
    line += static_cast<char>(byte);
  return line;
}

std::string Server::with(const std::string& name) const {
  const fs::path there = "/tmp/" + name;
  fs::copy_file(fs::path(COLDSTART_SOURCE_DIR) / "tests/e2e/servers" / name, box.inside(there));
  return there;
}

StartInside Server::starter() {
  return [this](const ProgramSpec& spec) { return box.start(spec); };
}

const CriuProgram& the_criu() {
  static const CriuProgram program = CriuProgram::find();
  return program;
}

Snapshot::Snapshot() {
  fs::create_directory(images());
  const auto set = [&](CriuOptions& options, const char* log) {
    options.images = images();
    options.work = folder.path();
    options.log = folder.path() / log;
  };
  set(dump_options, "dump.log");
  set(restore_options, "restore.log");
}

void Snapshot::dump(Server& server, const CriuNotify& notify) {
  output = fs::read_symlink("/proc/" + std::to_string(server.process.pid()) + "/fd/1").string();
  dump_options.pid = Sandbox::pid_inside(server.process.pid());
  criu_dump(the_criu(), dump_options, server.starter(), notify, cancel);
}

void Snapshot::restore(Server& into, const CriuNotify& notify) {
  RestoreOptions options = restore_options;
  options.inherit = {{output, into.out.write.get()}};
  into.process = criu_restore(the_criu(), options, into.starter(), notify, cancel);
  into.out.write.reset();
}
