// SPDX-License-Identifier: Apache-2.0
#include "core/store/store.h"

namespace coldstart {
struct Store::Impl {};
Store::Store(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Store::~Store() = default;
std::shared_ptr<Store> Store::open(const std::filesystem::path&) {
  return std::shared_ptr<Store>(new Store(std::make_unique<Impl>()));
}
}  // namespace coldstart
