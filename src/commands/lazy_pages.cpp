// SPDX-License-Identifier: Apache-2.0
// Called exactly as `criu lazy-pages` is, so that whatever drives CRIU can have our page server instead of
// its own. Not for people, so not shown in the help.
#include <charconv>

#include <getopt.h>
#include <malloc.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include "commands/commands.h"
#include "core/base/log.h"
#include "core/base/many_descriptors.h"
#include "core/memory/page_server.h"
#include "core/memory/stored_pages.h"

namespace coldstart {

namespace {

namespace fs = std::filesystem;

struct LazyPagesOptions {
  fs::path images = ".";
  fs::path work;  // empty: images
  std::string log;
  int status_fd = -1;
  int verbosity = 2;               // as CRIU counts: 1 errors, 2 warnings, 3 information, 4 debugging
  std::optional<Digest> snapshot;  // whose pages are in the store; else they are in the images
  int record_until = -1;           // what is asked for until then is its working set
  fs::path shared;
  int control_fd = -1;
};

int number(const char* option, const std::string& text) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0)
    throw Error::usage(std::string(option) + " takes a number, not '" + text + "'");
  return value;
}

/// With CRIU's own option parser, getopt, for its spellings: -v4, -Ddir, --images-dir=dir.
LazyPagesOptions parse(std::vector<std::string> words) {
  const option known[] = {{"record-until", required_argument, nullptr, 'r'},
                          {"snapshot", required_argument, nullptr, 't'},
                          {"images-dir", required_argument, nullptr, 'D'},
                          {"work-dir", required_argument, nullptr, 'W'},
                          {"log-file", required_argument, nullptr, 'o'},
                          {"status-fd", required_argument, nullptr, 's'},
                          {"verbosity", optional_argument, nullptr, 'v'},
                          {"shared", required_argument, nullptr, 'S'},
                          {"control-fd", required_argument, nullptr, 'c'},
                          {"no-default-config", no_argument, nullptr, 'n'},
                          {nullptr, 0, nullptr, 0}};
  std::vector<char*> argv{const_cast<char*>("lazy-pages")};
  for (std::string& word : words) argv.push_back(word.data());
  LazyPagesOptions options;
  ::optind = 0;  // glibc: start anew
  ::opterr = 0;
  const auto count = static_cast<int>(argv.size());
  argv.push_back(nullptr);
  for (int c; (c = ::getopt_long(count, argv.data(), "D:W:o:v::", known, nullptr)) != -1;) {
    switch (c) {
      case 'D':
        options.images = ::optarg;
        break;
      case 'W':
        options.work = ::optarg;
        break;
      case 'o':
        options.log = ::optarg;
        break;
      case 's':
        options.status_fd = number("--status-fd", ::optarg);
        break;
      case 't':
        options.snapshot = Digest::parse(::optarg);
        if (!options.snapshot) throw Error::usage(std::string("'") + ::optarg + "' is no digest");
        break;
      case 'r':
        options.record_until = number("--record-until", ::optarg);
        break;
      case 'S':
        options.shared = ::optarg;
        break;
      case 'c':
        options.control_fd = number("--control-fd", ::optarg);
        break;
      case 'n':
        break;
      case 'v':
        options.verbosity = ::optarg == nullptr ? options.verbosity + 1 : number("--verbosity", ::optarg);
        break;
      default:
        throw Error::usage(std::string("lazy-pages does not know '") +
                           argv[static_cast<size_t>(::optind) - 1] + "'");
    }
  }
  if (::optind != count)
    throw Error::usage(std::string("lazy-pages takes no '") + argv[static_cast<size_t>(::optind)] + "'");
  if (options.work.empty()) options.work = options.images;
  return options;
}

void log_to_file(const LazyPagesOptions& options) {
  if (options.log.empty()) return;
  // As CRIU: below the work folder.
  auto logger = spdlog::basic_logger_st("lazy-pages", (options.work / options.log).string(), true);
  logger->set_pattern("(%H:%M:%S.%f) %l: %v");
  logger->flush_on(spdlog::level::debug);
  spdlog::set_default_logger(std::move(logger));
  spdlog::set_level(options.verbosity >= 4   ? spdlog::level::debug
                    : options.verbosity == 3 ? spdlog::level::info
                    : options.verbosity == 2 ? spdlog::level::warn
                                             : spdlog::level::err);
}

void tell_ready(int status_fd) {
  if (status_fd < 0) return;
  const Fd status(status_fd);
  write_full(status.get(), as_bytes(std::string_view("\0", 1)));
}

/// What is read and what is decompressed takes turns in buffers of some 256 KiB. By default each would be
/// mapped and unmapped anew: its pages cleared and faulted in one by one, while all threads wait for the
/// mappings.
void reuse_buffers() {
  ::mallopt(M_MMAP_THRESHOLD, 16 << 20);
  ::mallopt(M_TRIM_THRESHOLD, 64 << 20);
}

/// From the images, or from the store, and then with its working set: known or to be recorded.
std::unique_ptr<SnapshotPages> pages_of(const LazyPagesOptions& options, PageServerOptions& server,
                                        Session& session) {
  if (!options.snapshot) return open_image_pages(options.images);
  const std::shared_ptr<Store> store = session.store();
  const Digest& snapshot = *options.snapshot;
  auto pages = open_stored_pages(store, read_snapshot_manifest(*store, snapshot), options.images);
  if (options.record_until < 0) {
    if (auto set = read_working_set(store->root(), snapshot)) server.first = std::move(*set);
    return pages;
  }
  auto record = std::make_shared<WorkingSetLog>();
  server.hold_until = options.record_until;
  server.recorded = [store, snapshot, record] {
    try {
      const WorkingSet set = record->so_far();
      if (!set.ranges.empty()) write_working_set(*store, snapshot, set);
    } catch (const Error& e) {
      log::warn("the working set is not kept: {}", e.message());
    }
  };
  return record_reads(std::move(pages), record);
}

void serve_pages(const LazyPagesOptions& options, Session& session) {
  // Every forked process brings one. Before there is a guardian, which shares the table.
  expect_many_descriptors();
  // The guardian is made with the server and must see one thread: spdlog's file sink has none.
  log_to_file(options);
  reuse_buffers();
  PageServerOptions server_options;
  server_options.work_folder = options.work;
  auto pages = pages_of(options, server_options, session);
  server_options.shared = options.shared;
  server_options.pinned = read_pinned_list(options.images);
  server_options.control = options.control_fd;
  PageServer server(std::move(pages), server_options);
  tell_ready(options.status_fd);
  try {
    const MemoryStatistics statistics = server.serve(session.cancel);
    log::info("served {}", to_json(statistics).dump());
    session.console.result(to_json(statistics));
  } catch (const Error& e) {
    spdlog::error("{}", e.what());
    throw;
  }
}

}  // namespace

void add_lazy_pages(CLI::App& app, Session& session) {
  auto* command = app.add_subcommand("lazy-pages", "Serve memory to a restore, as 'criu lazy-pages'");
  command->fallthrough(false);
  command->prefix_command();
  command->callback([&session, command] { serve_pages(parse(command->remaining()), session); });
}

}  // namespace coldstart
