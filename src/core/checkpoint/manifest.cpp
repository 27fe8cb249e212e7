// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/manifest.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "core/base/log.h"
#include "core/image/image.h"

namespace coldstart {

namespace {

constexpr const char* format_name = "coldstart snapshot 2";

Digest digest_field(const std::string& text, const std::string& document) {
  const std::optional<Digest> digest = Digest::parse(text);
  if (!digest) throw Error::corrupt(document + ": '" + text + "' is no digest");
  return *digest;
}

// In the order of the enumerations.
constexpr std::array net_names = {"host", "none", "private"};
constexpr std::array tcp_names = {"none", "close", "established"};

template <class E, size_t N>
E named(const std::array<const char*, N>& names, const Json& json, const char* key,
        const std::string& document) {
  const auto text = field<std::string>(json, key, document);
  const auto it = std::find(names.begin(), names.end(), text);
  if (it == names.end()) throw Error::corrupt(fmt::format("{}: '{}' is '{}'", document, key, text));
  return static_cast<E>(it - names.begin());
}

template <size_t N, class E>
const char* name_in(const std::array<const char*, N>& names, E value) {
  return names.at(static_cast<size_t>(value));
}

}  // namespace

std::string SnapshotManifest::to_json() const {
  Json tree_digests = Json::object();
  for (const auto& [where, digest] : trees) tree_digests[where] = digest.text();
  Json json = {
      {"format", format_name},
      {"criu", criu.text()},
      {"memory", memory.to_json()},
      {"trees", tree_digests},
      {"image", image ? Json(image->text()) : Json(nullptr)},
      {"rootfs", rootfs},
      {"binds", binds},
      {"command", command},
      {"environment", environment},
      {"folder", folder},
      {"net", name_in(net_names, net)},
      {"ready", Json(ready.to_json())},
      {"warmups", warmups},
      {"root_pid", root_pid},
      {"stdio", stdio},
      {"tcp", name_in(tcp_names, tcp)},
      {"processes", processes},
      {"memory_bytes", memory_bytes},
      {"host", host.to_json()},
  };
  if (trace) json["trace"] = trace->text();
  if (!gpu.is_null()) json["gpu"] = gpu;
  try {
    return json.dump();
  } catch (const nlohmann::json::exception&) {
    throw Error::usage("the command, a path or a check is not valid UTF-8: a snapshot cannot record it");
  }
}

SnapshotManifest SnapshotManifest::from_json(std::string_view text, const std::string& document) {
  const Json json = parse_json(text, document);
  if (const auto format = field<std::string>(json, "format", document); format != format_name)
    throw Error::corrupt(document + ": its format is '" + format + "', not '" + format_name + "'",
                         format == "coldstart snapshot 1"
                             ? "it is from before the first release: take it again"
                             : "a newer coldstart may have written it");
  const auto text_field = [&](const Json& object, const char* key) {
    return field<std::string>(object, key, document);
  };
  const auto list = [&](const char* key) { return field<std::vector<std::string>>(json, key, document); };

  SnapshotManifest m;
  m.criu = digest_field(text_field(json, "criu"), document);
  m.memory = StoredMap::from_json(field<Json>(json, "memory", document), document);
  for (const auto& [where, digest] : field<std::map<std::string, std::string>>(json, "trees", document))
    if (where == "/" || where == "/dev/shm")
      m.trees.emplace(where, digest_field(digest, document));
    else
      throw Error::corrupt(fmt::format("{}: a tree at '{}' has no place in a sandbox", document, where));
  if (const auto image = field<Json>(json, "image", document); !image.is_null())
    m.image = digest_field(text_field(json, "image"), document);
  m.rootfs = text_field(json, "rootfs");
  m.binds = list("binds");
  m.command = list("command");
  m.environment = list("environment");
  m.folder = text_field(json, "folder");
  m.net = named<Net>(net_names, json, "net", document);
  m.ready = Readiness::from_json(field<Json>(json, "ready", document), document);
  m.warmups = list("warmups");
  m.root_pid = field<int32_t>(json, "root_pid", document);
  m.stdio = list("stdio");
  m.tcp = named<TcpPolicy>(tcp_names, json, "tcp", document);
  m.processes = field<uint32_t>(json, "processes", document);
  m.memory_bytes = field<uint64_t>(json, "memory_bytes", document);
  m.host = HostFacts::from_json(field<Json>(json, "host", document), document);
  if (json.contains("trace")) m.trace = digest_field(text_field(json, "trace"), document);
  if (const auto with_gpu = json.find("gpu"); with_gpu != json.end()) m.gpu = *with_gpu;
  if (m.stdio.size() != 3) throw Error::corrupt(document + ": 'stdio' has not three entries");
  if (m.root_pid < 2) throw Error::corrupt(document + ": 'root_pid' is out of range");
  return m;
}

SnapshotManifest read_snapshot_manifest(Store& store, const Digest& snapshot) {
  const Bytes bytes = store.read(snapshot);
  return SnapshotManifest::from_json(as_text(bytes), "the manifest of snapshot " + snapshot.text());
}

namespace {

/// What the processes had written is needed before they run: up to this much comes with the metadata.
constexpr uint64_t little_written = uint64_t{1} << 20;

/// All trees of a snapshot after their manifests: CRIU's files, which every restore reads first, whole, the
/// others by `walk_tree`.
template <class WalkTree>
void walk_trees(Store& store, const SnapshotManifest& manifest, std::vector<Digest>& out,
                WalkTree walk_tree) {
  out.push_back(manifest.criu);
  walk_image(store, manifest.criu, out);
  if (manifest.trace) out.push_back(*manifest.trace);
  const auto walk = [&](const Digest& tree) {
    out.push_back(tree);
    walk_tree(store, tree, out);
  };
  for (const auto& [where, tree] : manifest.trees) walk(tree);
  if (manifest.image) walk(*manifest.image);
}

/// The trace, or nothing: without it only the order is worse.
Bytes trace_for_order(Store& store, const SnapshotManifest& manifest) {
  if (!manifest.trace) return {};
  try {
    return store.read(*manifest.trace);
  } catch (const Error& e) {
    log::debug("{}", e.message());
    return {};
  }
}

}  // namespace

void walk_snapshot(Store& store, const Digest& snapshot, std::vector<Digest>& out) {
  const SnapshotManifest manifest = read_snapshot_manifest(store, snapshot);
  const Bytes used = trace_for_order(store, manifest);
  walk_trees(store, manifest, out, [&](Store& from, const Digest& tree, std::vector<Digest>& digests) {
    walk_image_in_use(from, tree, tree == manifest.image ? as_text(used) : std::string_view(), digests);
  });
  walk_memory(store, manifest.memory, out);
}

void walk_snapshot_metadata(Store& store, const Digest& snapshot, std::vector<Digest>& out) {
  const SnapshotManifest manifest = read_snapshot_manifest(store, snapshot);
  walk_trees(store, manifest, out, [&](Store& from, const Digest& tree, std::vector<Digest>& digests) {
    const bool wanted_at_once =
        tree != manifest.image && read_image_manifest(from, tree).bytes <= little_written;
    (wanted_at_once ? walk_image : walk_image_metadata)(from, tree, digests);
  });
  out.insert(out.end(), manifest.memory.chunks.begin(), manifest.memory.chunks.end());
}

}  // namespace coldstart
