// SPDX-License-Identifier: Apache-2.0
// Starting a keeper or a server for a mount, and waiting until it answers.

#include "core/imagefs/launch.h"

#include <cerrno>

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/json.h"
#include "core/base/log.h"
#include "core/imagefs/imagefs.h"

namespace coldstart {

namespace fs = std::filesystem;

namespace {

// The numbers under which they get their descriptors.
constexpr int their_fuse_fd = 3;
constexpr int their_ready_fd = 4;
constexpr int their_state_fd = 5;
constexpr int their_opens_fd = 6;
constexpr int their_presence_fd = 7;
constexpr int their_tree_fd = 8;
constexpr int their_alive_fd = 9;

/// It must fit into a MountStatAnswer.
constexpr size_t longest_failure = 2000;

/// What the server said before it was ready; "+" if it is. Ends as soon as that is known.
std::string await_answer(int ready, const CancelToken& cancel) {
  std::string said;
  while (!said.starts_with('+')) {
    pollfd polls[2] = {{ready, POLLIN, 0}, {cancel.fd(), POLLIN, 0}};
    if (::poll(polls, 2, -1) < 0 && errno != EINTR) throw Error::sys("cannot poll the image server");
    cancel.check();
    if (polls[0].revents == 0) continue;
    char buffer[4096];
    const ssize_t n = ::read(ready, buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    said.append(buffer, static_cast<size_t>(n));
  }
  return said;
}

[[noreturn]] void throw_start_failure(const std::string& said, Child& child) {
  const std::string document = "the image server's answer";
  if (said.empty()) {
    const auto exit = child.wait_for(std::chrono::seconds(1));  // it has closed its end: it is ending
    throw Error("the image server ended before it was ready: " + (exit ? exit->text() : "it hangs"));
  }
  const Json report = parse_json(said, document);
  throw Error(field<std::string>(report, "message", document), field<std::string>(report, "hint", document),
              static_cast<Exit>(field<int>(report, "exit", document)));
}

/// A process of this tool for a mount, in the background, once it has said that it is ready.
Child start_ready(std::vector<std::string> argv, std::vector<std::pair<int, int>> fds, bool die_with_us,
                  const CancelToken& cancel) {
  Pipe ready = make_pipe();
  const Fd null = open_file("/dev/null", O_RDWR);
  SpawnOptions spawn;
  spawn.argv = std::move(argv);
  spawn.fds = std::move(fds);
  for (int fd = 0; fd <= 2; ++fd) spawn.fds.emplace_back(null.get(), fd);
  spawn.fds.emplace_back(ready.write.get(), their_ready_fd);
  spawn.folder = "/";
  spawn.new_session = true;
  spawn.die_with_us = die_with_us;
  Child child(spawn);
  ready.write.reset();
  if (const std::string said = await_answer(ready.read.get(), cancel); !said.starts_with('+'))
    throw_start_failure(said, child);
  return child;
}

/// What both processes of a mount are told.
std::vector<std::string> words_of(const fs::path& program, const char* command, const fs::path& store_root,
                                  const fs::path& folder, const MountOptions& options) {
  std::vector<std::string> words = {program.string(),    "--store",
                                    store_root.string(), command,
                                    "--fuse-fd",         std::to_string(their_fuse_fd),
                                    "--ready-fd",        std::to_string(their_ready_fd),
                                    "--mountpoint",      folder.string(),
                                    "--prefetch",        to_string(options.prefetch),
                                    "--cache-size",      std::to_string(options.cache_bytes),
                                    "--record",          options.record.string()};
  if (!options.pass_through) words.emplace_back("--no-pass-through");
  if (options.far_trace) words.insert(words.end(), {"--far-trace", options.far_trace->text()});
  return words;
}

void add_presence(int presence_fd, std::vector<std::string>& argv, std::vector<std::pair<int, int>>& fds) {
  if (presence_fd < 0) return;
  argv.insert(argv.end(), {"--presence-fd", std::to_string(their_presence_fd)});
  fds.emplace_back(presence_fd, their_presence_fd);
}

}  // namespace

fs::path image_server_log(const fs::path& store_root) {
  return store_root / "logs" / "image-server.log";
}

Child start_serving(const ServerStart& start, const CancelToken& cancel) {
  std::vector<std::string> argv =
      words_of(start.program, "serve-image", start.store_root, start.folder, start.mount);
  for (const auto& [option, number] :
       {std::pair("--state-fd", their_state_fd), std::pair("--opens-fd", their_opens_fd)})
    argv.insert(argv.end(), {option, std::to_string(number)});
  argv.insert(argv.end(), {"--keeper", std::to_string(::getpid())});
  if (!start.upgrade_failure.empty())
    argv.insert(argv.end(), {"--upgrade-failure", start.upgrade_failure.substr(0, longest_failure)});
  std::vector<std::pair<int, int>> fds = {
      {start.fuse_fd, their_fuse_fd}, {start.state_fd, their_state_fd}, {start.opens_fd, their_opens_fd}};
  add_presence(start.presence_fd, argv, fds);
  argv.push_back(start.image.text());
  return start_ready(std::move(argv), std::move(fds), start.die_with_us, cancel);
}

Child start_image_server(const FuseMount& mount, const fs::path& store_root, const Digest& image,
                         const CancelToken& cancel, bool die_with_us, const MountOptions& options) {
  std::vector<std::string> argv =
      words_of("/proc/self/exe", "keep-image", fs::absolute(store_root), mount.folder(), options);
  if (die_with_us) argv.emplace_back("--die-together");
  std::vector<std::pair<int, int>> fds = {{mount.fd(), their_fuse_fd}};
  add_presence(mount.presence_fd(), argv, fds);
  argv.push_back(image.text());
  return start_ready(std::move(argv), std::move(fds), die_with_us, cancel);
}

Child start_share_keeper(const ShareKeeperStart& start, const CancelToken& cancel) {
  std::vector<std::string> argv = words_of("/proc/self/exe", "keep-image", fs::absolute(start.store_root),
                                           start.folder / "image", start.mount);
  argv.insert(argv.end(), {"--die-together", "--share", start.folder.string()});
  std::vector<std::pair<int, int>> fds = {{start.fuse_fd, their_fuse_fd}};
  for (const auto& [option, ours, theirs] : {std::tuple("--tree-fd", start.tree_fd, their_tree_fd),
                                             std::tuple("--state-fd", start.state_fd, their_state_fd),
                                             std::tuple("--opens-fd", start.opens_fd, their_opens_fd),
                                             std::tuple("--alive-fd", start.alive_fd, their_alive_fd)}) {
    if (ours < 0) continue;
    argv.insert(argv.end(), {option, std::to_string(theirs)});
    fds.emplace_back(ours, theirs);
  }
  add_presence(start.presence_fd, argv, fds);
  argv.push_back(start.image.text());
  return start_ready(std::move(argv), std::move(fds), false, cancel);
}

void report_start_failure(int ready_fd, const Error& error) noexcept {
  try {
    const Json report = {
        {"message", error.message()}, {"hint", error.hint()}, {"exit", static_cast<int>(error.exit())}};
    write_full(ready_fd, as_bytes(report.dump(-1, ' ', false, Json::error_handler_t::replace)));
  } catch (const std::exception&) {
    // Nobody is there to be told any more.
  }
}

}  // namespace coldstart
