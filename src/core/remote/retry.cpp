// SPDX-License-Identifier: Apache-2.0
// Trying again, with pauses that grow, until the deadline. What will not get better is not tried again.

#include <algorithm>
#include <random>

#include <fmt/format.h>
#include <poll.h>

#include "core/base/log.h"
#include "core/remote/backends.h"
#include "core/remote/deadline.h"

namespace coldstart {

namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;
using Kind = RemoteError::Kind;

constexpr milliseconds first_pause{100};
constexpr milliseconds longest_pause{5000};
/// 64 KB/s, beyond the first megabyte, which is what a reader asks for at once.
constexpr uint64_t slowest_bytes_per_ms = 64;
constexpr uint64_t small_body = uint64_t{1} << 20;
constexpr int tries_of_the_impatient = 3;

/// Half of it for sure and half by chance, so that many readers do not come back all at once.
milliseconds with_chance(milliseconds pause) {
  static thread_local std::minstd_rand random{std::random_device{}()};
  return pause / 2 + milliseconds(std::uniform_int_distribution<long>(0, pause.count() / 2)(random));
}

class Retry final : public ObjectStore {
 public:
  Retry(std::shared_ptr<ObjectStore> inner, const RemoteOptions& options)
      : inner_(std::move(inner)), options_(options) {}

  std::string name() const override { return inner_->name(); }
  using ObjectStore::get;
  Bytes get(const std::string& key, std::optional<ByteRange> range, Freshness freshness) override {
    return repeat(range ? range->length : 0, [&] { return inner_->get(key, range, freshness); });
  }
  std::optional<uint64_t> size(const std::string& key) override {
    return repeat(0, [&] { return inner_->size(key); });
  }
  void put(const std::string& key, const ObjectSource& source) override {
    repeat(source.length(), [&] {
      inner_->put(key, source);
      return 0;
    });
  }
  std::vector<std::string> list(const std::string& prefix) override {
    return repeat(0, [&] { return inner_->list(prefix); });
  }
  void remove(const std::string& key) override {
    repeat(0, [&] {
      inner_->remove(key);
      return 0;
    });
  }

 private:
  /// A large body moves the deadline by the time that it may take.
  template <class Attempt>
  auto repeat(uint64_t bytes, Attempt attempt) -> decltype(attempt()) {
    const Clock::time_point start = Clock::now();
    const bool may_take_longer = options_.interactive && bytes > small_body;
    const milliseconds limit =
        options_.deadline + milliseconds(may_take_longer ? (bytes - small_body) / slowest_bytes_per_ms : 0);
    const Deadline deadline(start + limit);
    milliseconds pause = first_pause;
    for (int tries = 1;; ++tries) {
      try {
        return attempt();
      } catch (const RemoteError& e) {
        const milliseconds wait = std::max(with_chance(pause), e.retry_after);
        const auto waited = std::chrono::duration_cast<milliseconds>(Clock::now() - start);
        if (!worth_another(e, tries) || waited + wait >= limit) throw given_up(e, tries, waited);
        log::debug("{}; trying again in {} ms", e.message(), wait.count());
        sleep(wait);
        pause = std::min(pause * 2, longest_pause);
      }
    }
  }

  bool worth_another(const RemoteError& e, int tries) const {
    if (e.kind() == Kind::unreachable) return !options_.interactive || tries < tries_of_the_impatient;
    return e.kind() == Kind::transient;
  }

  static RemoteError given_up(const RemoteError& e, int tries, milliseconds waited) {
    if (tries == 1) return e;
    return {e.kind(),
            fmt::format("{} ({} tries in {:.1f} s)", e.message(), tries,
                        static_cast<double>(waited.count()) / 1000),
            e.hint()};
  }

  void sleep(milliseconds time) const {
    pollfd p{options_.cancel != nullptr ? options_.cancel->fd() : -1, POLLIN, 0};
    ::poll(&p, 1, static_cast<int>(time.count()));
    if (options_.cancel != nullptr) options_.cancel->check();
  }

  const std::shared_ptr<ObjectStore> inner_;
  const RemoteOptions options_;
};

}  // namespace

std::shared_ptr<ObjectStore> with_retry(std::shared_ptr<ObjectStore> inner, const RemoteOptions& options) {
  return std::make_shared<Retry>(std::move(inner), options);
}

}  // namespace coldstart
