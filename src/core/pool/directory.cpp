// SPDX-License-Identifier: Apache-2.0
#include "core/pool/directory.h"

#include <algorithm>
#include <cctype>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "core/base/error.h"
#include "core/base/json.h"
#include "core/base/log.h"

namespace coldstart {

namespace fs = std::filesystem;

namespace {

bool plain(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '.' || c == '-';
}

}  // namespace

PoolDirectory::PoolDirectory(const fs::path& store_root) : root_(fs::absolute(store_root) / "pools") {}

std::string PoolDirectory::name_for(std::string_view snapshot) {
  std::string name(snapshot.substr(0, 60));
  if (name.ends_with(":latest")) name.resize(name.size() - 7);
  std::replace_if(
      name.begin(), name.end(), [](char c) { return !plain(c); }, '-');
  return name;
}

void PoolDirectory::check_name(const std::string& name) {
  if (name.empty() || name.size() > 60 || name[0] == '.' || !std::all_of(name.begin(), name.end(), plain))
    throw Error::usage("not a name for a pool: '" + name + "'", "letters, digits, '_', '.' and '-'");
}

fs::path PoolDirectory::folder(const std::string& name) const {
  fs::path folder = root_ / name;
  make_folders(folder);
  return folder;
}

FileLock PoolDirectory::lock(const std::string& name) const {
  auto lock = FileLock::try_lock(folder(name) / "lock", FileLock::Mode::exclusive);
  if (!lock)
    throw Error(fmt::format("the pool {} is there already", name),
                fmt::format("coldstart pool stop {}, or choose another --name", name));
  return std::move(*lock);
}

void PoolDirectory::publish(const PoolEntry& entry) const {
  const OrderedJson json = {{"name", entry.name},
                            {"snapshot", entry.snapshot},
                            {"digest", entry.digest},
                            {"listen", entry.listen},
                            {"pid", entry.pid}};
  write_file_atomic(folder(entry.name) / "pool.json", as_bytes(json.dump(2)));
}

std::vector<PoolEntry> PoolDirectory::list() const {
  std::vector<PoolEntry> result;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(root_, none)) {
    const fs::path file = entry.path() / "pool.json";
    if (!fs::exists(file, none) || FileLock::try_lock(entry.path() / "lock", FileLock::Mode::shared))
      continue;
    try {
      const Json json = parse_json(read_text(file), file);
      result.push_back({field<std::string>(json, "name", file), field<std::string>(json, "snapshot", file),
                        field<std::string>(json, "digest", file), field<std::string>(json, "listen", file),
                        field<pid_t>(json, "pid", file)});
    } catch (const Error& e) {
      log::warn("{}", e.message());
    }
  }
  std::sort(result.begin(), result.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  return result;
}

PoolEntry PoolDirectory::find(const std::string& name) const {
  const std::vector<PoolEntry> all = list();
  for (const PoolEntry& entry : all)
    if (entry.name == name || (name.empty() && all.size() == 1)) return entry;
  if (!name.empty())
    throw Error::not_found("there is no pool '" + name + "'", "coldstart pool warm SNAPSHOT");
  if (all.empty()) throw Error::not_found("no pool runs", "coldstart pool warm SNAPSHOT -d");
  std::vector<std::string> names;
  names.reserve(all.size());
  for (const PoolEntry& entry : all) names.push_back(entry.name);
  throw Error::usage("there are several pools: which one?", fmt::format("{}", fmt::join(names, ", ")));
}

}  // namespace coldstart
