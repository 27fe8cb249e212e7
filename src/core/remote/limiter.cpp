// SPDX-License-Identifier: Apache-2.0
// A bound on the bytes a second. A request waits until what went before it has been paid for, so that the
// rate holds on average, whatever the sizes.

#include <mutex>

#include <poll.h>

#include "core/remote/backends.h"

namespace coldstart {

namespace {

using Clock = std::chrono::steady_clock;

class Limiter final : public ObjectStore {
 public:
  Limiter(std::shared_ptr<ObjectStore> inner, uint64_t bytes_per_second, const CancelToken* cancel)
      : inner_(std::move(inner)), rate_(static_cast<double>(bytes_per_second)), cancel_(cancel) {}

  std::string name() const override { return inner_->name(); }
  using ObjectStore::get;
  Bytes get(const std::string& key, std::optional<ByteRange> range, Freshness freshness) override {
    wait();
    Bytes bytes = inner_->get(key, range, freshness);
    pay(bytes.size());
    return bytes;
  }
  std::optional<uint64_t> size(const std::string& key) override { return inner_->size(key); }
  void put(const std::string& key, const ObjectSource& source) override {
    wait();
    inner_->put(key, source);
    pay(source.length());
  }
  std::vector<std::string> list(const std::string& prefix) override { return inner_->list(prefix); }
  void remove(const std::string& key) override { inner_->remove(key); }

 private:
  void pay(uint64_t bytes) {
    const std::lock_guard lock(mutex_);
    free_ = std::max(free_, Clock::now()) +
            std::chrono::duration_cast<Clock::duration>(
                std::chrono::duration<double>(static_cast<double>(bytes) / rate_));
  }
  void wait() {
    for (;;) {
      Clock::duration left;
      {
        const std::lock_guard lock(mutex_);
        left = free_ - Clock::now();
      }
      if (left <= Clock::duration::zero()) return;
      pollfd p{cancel_ != nullptr ? cancel_->fd() : -1, POLLIN, 0};
      ::poll(&p, 1, static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(left).count()));
      if (cancel_ != nullptr) cancel_->check();
    }
  }

  const std::shared_ptr<ObjectStore> inner_;
  const double rate_;
  const CancelToken* const cancel_;
  std::mutex mutex_;  // guards free_
  Clock::time_point free_;
};

}  // namespace

std::shared_ptr<ObjectStore> with_limit(std::shared_ptr<ObjectStore> inner, uint64_t bytes_per_second,
                                        const CancelToken* cancel) {
  return std::make_shared<Limiter>(std::move(inner), bytes_per_second, cancel);
}

}  // namespace coldstart
