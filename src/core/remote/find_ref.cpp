// SPDX-License-Identifier: Apache-2.0
// Which part of a URL is the place, and which the name.

#include <algorithm>
#include <future>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "core/remote/remote.h"

namespace coldstart {

namespace {

constexpr size_t most_named = 10;  // in a hint
constexpr size_t largest_manifest = size_t{4} << 20;

std::vector<RefKind> kinds_of(std::optional<RefKind> kind) {
  if (kind) return {*kind};
  return {RefKind::image, RefKind::snapshot};
}

std::optional<RemoteManifest> read_manifest(ObjectStore& objects, RefKind kind, const RefName& name) {
  const std::string key = ref_key(kind, name);
  Bytes bytes;
  try {
    bytes = objects.get(key);
  } catch (const RemoteError& e) {
    if (e.kind() == RemoteError::Kind::absent) return std::nullopt;
    throw;
  }
  const std::string document = objects.name() + "/" + key;
  if (bytes.size() > largest_manifest) throw Error::corrupt(document + " is too large");
  RemoteManifest manifest = RemoteManifest::from_json(as_text(bytes), document);
  if (manifest.kind != kind) throw Error::corrupt(document + " is of another kind");
  manifest.reference = name;  // somebody may have copied it to another name
  return manifest;
}

/// Both kinds are asked for at once. An image is preferred.
std::optional<RemoteManifest> find_named(ObjectStore& objects, const RefName& name,
                                         std::optional<RefKind> kind) {
  if (kind) return read_manifest(objects, *kind, name);
  auto snapshot =
      std::async(std::launch::async, [&] { return read_manifest(objects, RefKind::snapshot, name); });
  std::optional<RemoteManifest> image = read_manifest(objects, RefKind::image, name);
  std::optional<RemoteManifest> other = snapshot.get();
  return image ? image : other;
}

std::vector<std::pair<RefKind, RefName>> list_all(ObjectStore& objects, std::optional<RefKind> kind) {
  std::vector<std::pair<RefKind, RefName>> all;
  for (const RefKind k : kinds_of(kind))
    for (const std::string& key : objects.list(ref_prefix(k)))
      if (auto ref = parse_ref_key(key)) all.push_back(std::move(*ref));
  return all;
}

Error no_such(ObjectStore& objects, const std::string& name, std::optional<RefKind> kind) {
  std::string hint;
  try {
    std::vector<std::string> names;
    for (const auto& [k, ref] : list_all(objects, kind)) names.push_back(ref.text());
    const bool more = names.size() > most_named;
    names.resize(std::min(names.size(), most_named));
    hint = names.empty() ? "there is nothing of coldstart's there"
                         : fmt::format("there are: {}{}", fmt::join(names, ", "), more ? ", ..." : "");
  } catch (const Error&) {
    hint = "push it there, or look whether the URL is right";
  }
  const char* what = !kind ? "image or snapshot" : *kind == RefKind::image ? "image" : "snapshot";
  return Error::not_found(
      fmt::format("there is no {}{}{} at {}", what, name.empty() ? "" : " ", name, objects.name()), hint);
}

/// Where the path of a URL begins: behind the host, or the bucket.
size_t path_start(const std::string& url) {
  const size_t host = url.find("://");
  if (host == std::string::npos) return url.find('/');
  return url.find('/', host + 3);
}

}  // namespace

RemoteRef find_remote_ref(const std::string& url, const RefName& name, std::optional<RefKind> kind,
                          const RemoteOptions& options) {
  const std::string place = normal_url(url);
  const auto objects = open_object_store(place, options);
  std::optional<RemoteManifest> found = find_named(*objects, name, kind);
  if (!found) throw no_such(*objects, name.text(), kind);
  return {place, std::move(*found), objects};
}

RemoteRef find_remote_ref(const std::string& url_and_name, std::optional<RefKind> kind,
                          const RemoteOptions& options) {
  const std::string url = normal_url(url_and_name);
  const size_t start = path_start(url);
  std::optional<Error> first;
  // The shortest name first: names with a '/' in them are rare.
  for (size_t slash = url.rfind('/');
       slash != std::string::npos && start != std::string::npos && slash >= start;
       slash = slash == 0 ? std::string::npos : url.rfind('/', slash - 1)) {
    std::optional<RefName> name;
    try {
      name = RefName::parse(url.substr(slash + 1));
    } catch (const Error&) {
      break;  // what is longer is no name either
    }
    const std::string place = url.substr(0, slash);
    if (place.ends_with('/') || place.ends_with(':')) break;
    std::shared_ptr<ObjectStore> objects;
    try {
      objects = open_object_store(place, options);
    } catch (const Error& e) {
      if (e.exit() != Exit::usage) throw;
      break;  // "oci://host" alone is no place
    }
    if (std::optional<RemoteManifest> found = find_named(*objects, *name, kind))
      return {place, std::move(*found), objects};
    if (!first) first = no_such(*objects, name->text(), kind);
  }
  const auto objects = open_object_store(url, options);
  std::vector<std::pair<RefKind, RefName>> all;
  try {
    all = list_all(*objects, kind);
  } catch (const RemoteError& e) {
    throw first ? *first : Error(e);
  }
  if (all.size() == 1) {
    if (auto found = read_manifest(*objects, all[0].first, all[0].second))
      return {url, std::move(*found), objects};
  }
  if (all.empty() && first) throw *first;
  if (all.size() > 1)
    throw Error::usage("there are several images or snapshots at " + url,
                       no_such(*objects, "", kind).hint() + "; name one: " + url + "/NAME:TAG");
  throw no_such(*objects, "", kind);
}

}  // namespace coldstart
