// SPDX-License-Identifier: Apache-2.0
// References: one small JSON file each, named NAME:TAG with every '/' as '%'.

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <numeric>

#include <unistd.h>

#include "core/base/error.h"
#include "core/base/json.h"
#include "core/store/store_impl.h"

namespace coldstart {

namespace fs = std::filesystem;

namespace {

constexpr size_t longest_part = 100;

bool is_lower_or_digit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}
bool is_punctuation(char c) {
  return c == '.' || c == '_' || c == '-';
}

/// Every part between slashes starts with a letter or digit, so none is empty, "." or "..".
bool valid_name(std::string_view name) {
  bool start = true;
  for (const char c : name) {
    if (c == '/' ? start : !is_lower_or_digit(c) && (start || !is_punctuation(c))) return false;
    start = c == '/';
  }
  return !start && name.size() <= longest_part;
}

bool valid_tag(std::string_view tag) {
  const auto word = [](char c) { return is_lower_or_digit(c) || (c >= 'A' && c <= 'Z') || c == '_'; };
  return !tag.empty() && tag.size() <= longest_part && word(tag[0]) &&
         std::all_of(tag.begin(), tag.end(), [&](char c) { return word(c) || is_punctuation(c); });
}

std::string file_name(const RefName& name) {
  std::string file = name.text();
  std::replace(file.begin(), file.end(), '/', '%');
  return file;
}

size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 0; i < a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i + 1);
    for (size_t j = 0; j < b.size(); ++j) {
      const size_t changed = diagonal + (a[i] != b[j]);
      diagonal = row[j + 1];
      row[j + 1] = std::min({changed, row[j] + 1, diagonal + 1});
    }
  }
  return row[b.size()];
}

/// "did you mean a, b?", or how to list all.
std::string nearest(RefKind kind, const std::vector<Ref>& refs, std::string_view wanted) {
  std::vector<std::pair<size_t, std::string>> near;
  for (const Ref& ref : refs) {
    const size_t away =
        std::min(edit_distance(wanted, ref.name.text()), edit_distance(wanted, ref.name.name));
    if (away <= std::max<size_t>(2, wanted.size() / 3)) near.emplace_back(away, ref.name.text());
  }
  if (near.empty()) return std::string("coldstart ") + to_string(kind) + " ls lists all";
  std::sort(near.begin(), near.end());
  std::string hint = "did you mean ";
  for (size_t i = 0; i < std::min<size_t>(3, near.size()); ++i) hint += (i > 0 ? ", " : "") + near[i].second;
  return hint + "?";
}

/// The refs whose manifest's digest starts with these hex digits.
std::vector<Ref> with_prefix(const std::vector<Ref>& refs, std::string_view digits) {
  std::vector<Ref> found;
  std::copy_if(refs.begin(), refs.end(), std::back_inserter(found),
               [&](const Ref& ref) { return ref.digest.hex().starts_with(digits); });
  return found;
}

}  // namespace

Ref read_ref(const fs::path& path) {
  try {
    std::string text = path.filename();
    std::replace(text.begin(), text.end(), '%', '/');
    const Json json = parse_json(read_text(path, 4096), "it");
    const auto digest = Digest::parse(field<std::string>(json, "digest", "it"));
    if (!digest) throw Error::corrupt("its digest is none");
    return {RefName::parse(text), *digest, field<int64_t>(json, "created", "it")};
  } catch (const Error& e) {
    if (e.error_number() != 0) throw;
    throw Error::corrupt("the reference " + path.string() + " is damaged: " + e.message(),
                         "set it again or remove the file");
  }
}

RefName RefName::parse(std::string_view text) {
  RefName ref;
  const size_t colon = text.find(':');
  ref.name = text.substr(0, colon);
  if (colon != std::string_view::npos) ref.tag = text.substr(colon + 1);
  if (!valid_name(ref.name) || !valid_tag(ref.tag))
    throw Error::usage("'" + std::string(text) + "' is not a valid reference",
                       "NAME[:TAG], as in llm:v1; names are of a-z 0-9 . _ - /, tags of A-Z too");
  return ref;
}

void Store::set_ref(RefKind kind, const RefName& name, const Digest& manifest) {
  const RefName checked = RefName::parse(name.text());
  // Against gc: what is there now must be there when the ref is.
  const FileLock lock(impl_->lock_file(), FileLock::Mode::shared);
  impl_->packs.rescan();
  if (!has_here(manifest))
    throw Error::not_found(std::string("there is no ") + to_string(kind) + " " + manifest.text());
  const Json json = {{"digest", manifest.text()}, {"created", static_cast<int64_t>(std::time(nullptr))}};
  write_file_atomic(impl_->refs(kind) / file_name(checked), as_bytes(json.dump() + "\n"));
}

bool Store::remove_ref(RefKind kind, const RefName& name) {
  const fs::path file = impl_->refs(kind) / file_name(RefName::parse(name.text()));
  if (::unlink(file.c_str()) != 0) {
    if (errno == ENOENT) return false;
    throw Error::sys("cannot remove " + file.string());
  }
  sync_folder(file.parent_path());
  return true;
}

std::vector<Ref> Store::refs(RefKind kind) {
  std::vector<Ref> all;
  for (const auto& entry : fs::directory_iterator(impl_->refs(kind))) {
    if (is_aside(entry.path())) continue;
    try {
      all.push_back(read_ref(entry.path()));
    } catch (const Error& e) {
      if (e.error_number() != ENOENT) throw;  // removed since the folder was listed
    }
  }
  std::sort(all.begin(), all.end(), [](const Ref& a, const Ref& b) { return a.name.text() < b.name.text(); });
  return all;
}

Ref Store::resolve(RefKind kind, std::string_view reference) {
  std::string_view digits = reference;
  const bool digest_only = digits.starts_with("sha256:");
  if (digest_only) digits.remove_prefix(std::string_view("sha256:").size());
  const bool maybe_digest = digits.size() >= 4 && digits.size() <= 64 &&
                            digits.find_first_not_of("0123456789abcdef") == std::string_view::npos;
  if (!digest_only) {
    try {
      const fs::path file = impl_->refs(kind) / file_name(RefName::parse(reference));
      if (::access(file.c_str(), F_OK) == 0) return read_ref(file);
    } catch (const Error& e) {
      if (e.error_number() != ENOENT) throw;
    }
  }
  const std::vector<Ref> all = refs(kind);
  const std::vector<Ref> matching = maybe_digest ? with_prefix(all, digits) : std::vector<Ref>{};
  if (matching.empty())
    throw Error::not_found(std::string("there is no ") + to_string(kind) + " " + std::string(reference),
                           nearest(kind, all, reference));
  if (std::any_of(matching.begin(), matching.end(),
                  [&](const Ref& ref) { return ref.digest != matching[0].digest; }))
    throw Error::usage("several digests start with " + std::string(reference), "give more digits");
  return matching[0];
}

}  // namespace coldstart
