// SPDX-License-Identifier: Apache-2.0
// The serving loop: a few threads that take requests from one /dev/fuse descriptor.

#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstdlib>
#include <mutex>
#include <thread>

#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/base/error.h"
#include "core/base/log.h"
#include "core/base/many_descriptors.h"
#include "core/imagefs/greeting.h"
#include "core/imagefs/imagefs.h"
#include "core/imagefs/metadata_cache.h"
#include "core/imagefs/operations.h"
#include "core/imagefs/readahead.h"
#include "core/imagefs/trace_prefetch.h"

namespace coldstart {

namespace {

/// A chunk of at least this size is alone in its frame, or nearly so: its neighbours are not worth keeping.
constexpr size_t large_chunk = size_t{128} << 10;

/// Threads that fetch from afar what is expected: they wait more than they work.
constexpr unsigned fetchers = 16;

/// How chunks come into memory when a reader waits for them.
class ChunkLoader {
 public:
  ChunkLoader(Store& store, ImageMetrics& metrics, ReaderActivity& readers)
      : store_(store), metrics_(metrics), readers_(readers) {}

  void operator()(const ChunkRecord& wanted, const ChunkCache::Keep& keep) const {
    const auto start = std::chrono::steady_clock::now();
    const Digest digest = ImageReader::digest(wanted);
    bool came = false;  // from far away: then its origin counts it
    if (wanted.length >= large_chunk)
      keep(digest, store_.read(digest, &came));
    else
      store_.read_frame(
          digest, [&](const Digest& d, ByteSpan bytes) { keep(d, Bytes(bytes.begin(), bytes.end())); },
          &came);
    metrics_.fetch.add(std::chrono::steady_clock::now() - start);
    if (!came) metrics_.store.add(wanted.length);
    readers_.note();
  }

 private:
  Store& store_;
  ImageMetrics& metrics_;
  ReaderActivity& readers_;
};

/// KiB. Large files are cut into larger chunks than the kernel's 128.
constexpr unsigned guessed_readahead = 1024;
/// KiB, where all that is wanted is on its way: what lies around a page is often in a chunk that is not.
constexpr unsigned known_readahead = 16;

/// The image is not here, or not all of it: a few of its chunks tell.
bool is_far(Store& store, const ImageReader& image) {
  constexpr size_t sample = 16;
  const auto chunks = image.chunks();
  for (size_t i = 0; i < chunks.size(); i += chunks.size() / sample + 1)
    if (!store.has_here(ImageReader::digest(chunks[i]))) return true;
  return false;
}

/// Makes SIGUSR1 interrupt system calls, and does nothing else. A thread that sits in a read of /dev/fuse
/// wakes up by nothing but a request or a signal.
class WakeSignal {
 public:
  WakeSignal() {
    struct sigaction action {};
    action.sa_handler = [](int) {};
    sigaction(SIGUSR1, &action, &before_);
  }
  WakeSignal(const WakeSignal&) = delete;
  WakeSignal& operator=(const WakeSignal&) = delete;
  ~WakeSignal() { sigaction(SIGUSR1, &before_, nullptr); }

 private:
  struct sigaction before_ {};
};

/// The threads that serve one session.
class Crew {
 public:
  explicit Crew(FuseSession& session)
      : session_(session), first_end_(check(::eventfd(0, EFD_CLOEXEC), "cannot make an eventfd")) {}
  Crew(const Crew&) = delete;
  Crew& operator=(const Crew&) = delete;

  void start(unsigned threads) {
    for (unsigned i = 0; i < threads; ++i) {
      {
        const std::lock_guard lock(mutex_);
        ++running_;
      }
      threads_.emplace_back([this] { work(); });
    }
  }

  /// Readable once the first thread has ended: the mount is gone.
  int ended_fd() const { return first_end_.get(); }

  ~Crew() {
    session_.stop();
    std::unique_lock lock(mutex_);
    // Again and again: a signal that comes just before the read wakes nobody.
    while (running_ > 0) {
      for (std::thread& thread : threads_) ::pthread_kill(thread.native_handle(), SIGUSR1);
      ended_.wait_for(lock, std::chrono::milliseconds(5), [&] { return running_ == 0; });
    }
    lock.unlock();
    for (std::thread& thread : threads_) thread.join();
  }

 private:
  void work() noexcept {
    RequestBuffer request;
    while (session_.serve_one(request)) {
    }
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t n = ::write(first_end_.get(), &one, sizeof one);
    const std::lock_guard lock(mutex_);
    --running_;
    ended_.notify_all();
  }

  FuseSession& session_;
  const Fd first_end_;
  std::vector<std::thread> threads_;
  std::mutex mutex_;  // guards running_
  std::condition_variable ended_;
  unsigned running_ = 0;
};

/// Waits until `fd` is readable (true) or `stop_fd` is (false).
bool wait_for(int fd, int stop_fd) {
  for (;;) {
    pollfd polls[2] = {{fd, POLLIN, 0}, {stop_fd, POLLIN, 0}};
    if (::poll(polls, 2, -1) < 0) {
      if (errno == EINTR) continue;
      throw Error::sys("cannot poll");
    }
    if (polls[1].revents != 0) return false;
    if (polls[0].revents != 0) return true;
  }
}

/// Takes over what earlier servers agreed on with the kernel.
void take_over(FuseSession& session, GreetingHook& hook, const Greeting& before, int fuse_fd) {
  session.feed(before.request);
  if (hook.seen().agreed_flags() != before.agreed_flags())
    throw Error("this version would agree on other terms with the kernel than the one that was mounted with",
                "unmount, and mount again");
  if (before.can_resend()) resend_requests(fuse_fd);
}

}  // namespace

void serve_image(int fuse_fd, Store& store, const ImageReader& image, const ServeOptions& options,
                 const std::function<void()>& ready) {
  // Chunks are allocated by one thread and freed by another: with an arena each, the memory that waits for
  // reuse would be several times what is in use.
  ::mallopt(M_ARENA_MAX, 1);
  expect_many_descriptors();  // a file that is read has one
  const WakeSignal wake;
  ImageMetrics metrics;
  FileCache cache(store.root(), options.mount.cache_bytes);
  DiskTier disk(image, cache);
  ReaderActivity readers;
  ChunkCache chunks(options.memory_bytes, ChunkLoader(store, metrics, readers));
  Filler filler(image, store, cache, chunks, readers, metrics, options.mount.prefetch,
                [&] { keep_metadata(cache, options.manifest, image); });
  const bool far = is_far(store, image);
  const AccessTrace& trace = far && !options.far_trace.empty() ? options.far_trace : options.trace;
  FileReader files(image, chunks, &disk, metrics, far ? fetchers : default_jobs());
  OpenTable opens(image.inode_count(), options.opens_fd);
  const std::optional<Greeting> before =
      options.state_fd >= 0 ? read_greeting(options.state_fd) : std::nullopt;
  std::optional<TraceRecorder> recorder;
  if (!options.mount.record.empty()) recorder.emplace(image, options.mount.record, before.has_value());
  Passthrough passthrough(fuse_fd, options.mount.pass_through && !recorder);
  const KeeperLink keeper(options.keeper);
  // A start that has a trace should ask for no more than is in it.
  std::optional<LoaderAhead> loader;
  if (options.mount.prefetch != Prefetch::none && trace.empty())
    loader.emplace(image, files, far ? &store : nullptr);
  ImageOperations operations({image, files, cache, filler, opens, passthrough, metrics,
                              loader ? &*loader : nullptr, recorder ? &*recorder : nullptr, store.origin(),
                              keeper, options.upgrade_failure});
  GreetingHook greeting(options.state_fd);
  FuseSession session(fuse_fd, ImageOperations::table(), &operations, {&passthrough, &greeting});
  if (before) {
    take_over(session, greeting, *before, fuse_fd);
  } else {
    // The kernel's first request is its greeting; nothing else comes before it is answered.
    RequestBuffer first;
    if (!wait_for(fuse_fd, options.stop_fd) || !session.serve_one(first)) return;
  }
  operations.probe_passthrough();
  ready();
  const TracePrefetch ahead(image, store, filler, trace);
  Crew crew(session);
  crew.start(options.threads);
  // A trace should name what was asked for, and not much beside; for a start that has one see above.
  if (!recorder && trace.empty()) set_readahead(options.folder, guessed_readahead);
  if (far && !trace.empty()) set_readahead(options.folder, known_readahead);
  if (wait_for(crew.ended_fd(), options.stop_fd) && options.gone) options.gone();
}

}  // namespace coldstart
