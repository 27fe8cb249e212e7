// SPDX-License-Identifier: Apache-2.0
// One suite that every place for objects passes. Here folders, alone and behind each wrapper; against real
// servers it runs where COLDSTART_TEST_REMOTE names one (tests/e2e/remote_conformance.sh).
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include <doctest/doctest.h>

#include "../store/store_fixture.h"
#include "core/remote/backends.h"
#include "core/remote/http_client.h"
#include "core/remote/registry_auth.h"
#include "core/remote/remote_manifest.h"

using namespace coldstart;
namespace fs = std::filesystem;

namespace {

using Kind = RemoteError::Kind;

template <class F>
std::optional<Kind> kind_of(F f) {
  try {
    f();
  } catch (const RemoteError& e) {
    return e.kind();
  }
  return std::nullopt;
}

std::string put_blob(ObjectStore& objects, const Bytes& bytes) {
  const std::string key = blob_key(Digest::of(bytes));
  objects.put(key, {bytes, -1, 0, {}});
  return key;
}

std::string manifest(const std::string& name, const Digest& blob, uint64_t bytes) {
  RemoteManifest m;
  m.reference = RefName::parse(name);
  m.digest = blob;
  m.index = m.metadata = {blob, bytes};
  return m.to_json();
}

void conforms(ObjectStore& objects, const fs::path& scratch) {
  const Bytes bytes = StoreFixture::noise(3000000, 7);
  const std::string absent = blob_key(Digest::of(to_bytes("nowhere")));
  CHECK_FALSE(objects.size(absent));
  CHECK(kind_of([&] { objects.get(absent); }) == Kind::absent);

  // From memory and from a file, twice.
  const std::string key = put_blob(objects, bytes);
  CHECK(objects.size(key) == bytes.size());
  CHECK(objects.get(key) == bytes);
  const fs::path file = scratch / "file";
  const Bytes other = StoreFixture::text(100000, 3);
  write_file_atomic(file, other);
  const Fd fd = open_file(file, O_RDONLY);
  uint64_t sent = 0;
  const std::string from_file = blob_key(Digest::of(other));
  for (int i = 0; i < 2; ++i)
    objects.put(from_file, {{}, fd.get(), other.size(), [&](uint64_t n) { sent += n; }});
  CHECK(objects.get(from_file) == other);
  CHECK(sent >= other.size());

  // Ranges: anywhere, exactly as long as asked for.
  for (const auto& [offset, length] :
       {std::pair<size_t, size_t>{0, 1}, {1, 4095}, {1048570, 20}, {2999999, 1}, {0, 3000000}}) {
    const Bytes part = objects.get(key, ByteRange{offset, length}, ObjectStore::Freshness::any);
    CHECK(std::equal(part.begin(), part.end(), bytes.begin() + static_cast<ptrdiff_t>(offset),
                     bytes.begin() + static_cast<ptrdiff_t>(offset + length)));
    CHECK(objects.get(key, ByteRange{offset, length}, ObjectStore::Freshness::origin) == part);
  }
  CHECK(kind_of([&] { objects.get(key, ByteRange{2999999, 2}, ObjectStore::Freshness::any); }));

  // Refs: listed, replaced, removed.
  const Digest blob = Digest::of(bytes);
  const auto ref = [](const char* name) { return ref_key(RefKind::image, RefName::parse(name)); };
  CHECK(objects.list("refs/images/").empty());
  for (const char* name : {"b:v1", "a/b_c:x", "b:v1"}) {
    const std::string text = manifest(name, blob, bytes.size());
    objects.put(ref(name), {as_bytes(text), -1, 0, {}});
    CHECK(as_text(objects.get(ref(name))) == text);
  }
  CHECK(objects.list("refs/images/") == std::vector<std::string>{ref("a/b_c:x"), ref("b:v1")});
  CHECK(objects.list("refs/snapshots/").empty());
  CHECK(kind_of([&] { objects.get(ref("b:v2")); }) == Kind::absent);

  // Many at once.
  std::atomic<int> right{0};
  std::vector<std::thread> threads;
  for (size_t i = 0; i < 8; ++i)
    threads.emplace_back([&, i] {
      const Bytes part = objects.get(key, ByteRange{i * 300000, 300000}, ObjectStore::Freshness::any);
      if (std::equal(part.begin(), part.end(), bytes.begin() + static_cast<ptrdiff_t>(i * 300000))) ++right;
    });
  for (std::thread& thread : threads) thread.join();
  CHECK(right == 8);
}

struct Folder {
  TempDir folder;
  fs::path at = folder.path() / "remote";
  RemoteOptions options;
};

/// Fails as told before it does what it should.
class Failing final : public ObjectStore {
 public:
  Failing(std::shared_ptr<ObjectStore> inner, int failures, Kind kind)
      : inner_(std::move(inner)), left(failures), kind_(kind) {}
  std::string name() const override { return "failing"; }
  using ObjectStore::get;
  Bytes get(const std::string& key, std::optional<ByteRange> range, Freshness freshness) override {
    fail();
    return inner_->get(key, range, freshness);
  }
  std::optional<uint64_t> size(const std::string& key) override {
    fail();
    return inner_->size(key);
  }
  void put(const std::string& key, const ObjectSource& source) override {
    fail();
    inner_->put(key, source);
  }
  std::vector<std::string> list(const std::string& prefix) override { return inner_->list(prefix); }
  void remove(const std::string& key) override { inner_->remove(key); }
  int asked = 0;

 private:
  void fail() {
    ++asked;
    if (left-- > 0) throw RemoteError(kind_, "told to fail");
  }
  const std::shared_ptr<ObjectStore> inner_;
  int left;
  const Kind kind_;
};

}  // namespace

TEST_CASE_FIXTURE(Folder, "a folder keeps objects") {
  const auto objects = open_object_store("file:" + at.string(), options);
  conforms(*objects, folder.path());
  const std::string key = ref_key(RefKind::image, RefName::parse("b:v1"));
  objects->remove(key);
  objects->remove(key);
  CHECK(objects->list("refs/images/").size() == 1);
}

TEST_CASE_FIXTURE(Folder, "a near folder changes nothing but the time") {
  options.near = (folder.path() / "near").string();
  conforms(*open_object_store(at.string().insert(0, "file:"), options), folder.path());
}

TEST_CASE_FIXTURE(Folder, "a near place that is empty or gone is passed by") {
  conforms(*with_near(open_file_objects(at), open_file_objects("/nowhere")), folder.path());
}

TEST_CASE_FIXTURE(Folder, "a bound on the rate changes nothing but the time") {
  conforms(*with_limit(open_file_objects(at), uint64_t{1} << 30, nullptr), folder.path());
}

TEST_CASE_FIXTURE(Folder,
                  "a near folder answers when the origin is gone, and is replaced where it is wrong") {
  const Bytes bytes = StoreFixture::noise(2500000, 1);
  const auto origin = open_file_objects(at);
  const std::string key = put_blob(*origin, bytes);
  const auto near = with_near_folder(origin, folder.path() / "near");
  CHECK(near->get(key, ByteRange{100, 2000000}, ObjectStore::Freshness::any).size() == 2000000);
  // Somebody spoils a block.
  const fs::path block = folder.path() / "near" / key / "0";
  Bytes spoilt = read_file(block);
  spoilt[200] ^= std::byte{1};
  StoreFixture::replace(block, spoilt);
  const Bytes wrong = near->get(key, ByteRange{100, 200}, ObjectStore::Freshness::any);
  CHECK_FALSE(std::equal(wrong.begin(), wrong.end(), bytes.begin() + 100));
  const Bytes right = near->get(key, ByteRange{100, 200}, ObjectStore::Freshness::origin);
  CHECK(std::equal(right.begin(), right.end(), bytes.begin() + 100));
  fs::remove_all(at);
  CHECK(near->get(key, ByteRange{100, 200}, ObjectStore::Freshness::any) == right);
}

TEST_CASE_FIXTURE(Folder, "what may succeed is tried again, what cannot is not") {
  options.deadline = std::chrono::seconds(20);
  const auto origin = open_file_objects(at);
  const std::string key = put_blob(*origin, to_bytes("bytes"));
  const auto ask = [&](int failures, Kind kind, int& asked) {
    const auto failing = std::make_shared<Failing>(origin, failures, kind);
    const auto result = kind_of([&] { with_retry(failing, options)->get(key); });
    asked = failing->asked;
    return result;
  };
  int asked = 0;
  CHECK_FALSE(ask(3, Kind::transient, asked));
  CHECK(asked == 4);
  for (const Kind kind : {Kind::denied, Kind::absent, Kind::refused}) {
    CHECK(ask(1, kind, asked) == kind);
    CHECK(asked == 1);
  }
  CHECK_FALSE(ask(3, Kind::unreachable, asked));
  options.interactive = true;
  CHECK(ask(9, Kind::unreachable, asked) == Kind::unreachable);
  CHECK(asked == 3);
  options.deadline = std::chrono::milliseconds(50);
  CHECK(ask(99, Kind::transient, asked) == Kind::transient);
}

TEST_CASE_FIXTURE(Folder, "what is being waited for ends when it is cancelled") {
  CancelToken cancel;
  cancel.cancel();
  options.cancel = &cancel;
  const auto failing = std::make_shared<Failing>(open_file_objects(at), 99, Kind::transient);
  CHECK_THROWS_AS(with_retry(failing, options)->get("x"), Error);
  CHECK(failing->asked == 1);
}

TEST_CASE("URLs that are none, or hold a password") {
  const RemoteOptions options;
  for (const char* url : {"", "x", "ftp://h/p", "file:relative", "s3://", "oci://host",
                          "https://me:pw@host/p", "http://h/p?x=1"})
    CHECK_THROWS_AS(open_object_store(url, options), Error);
  CHECK(normal_url("/a/b/") == "file:/a/b");
  CHECK(normal_url("s3://b/p/") == "s3://b/p");
}

TEST_CASE("a remote's manifest comes back, and damaged ones are refused") {
  RemoteManifest m;
  m.kind = RefKind::snapshot;
  m.reference = RefName::parse("team/a:v1");
  m.digest = Digest::of(to_bytes("m"));
  m.index = {Digest::of(to_bytes("i")), 10};
  m.metadata = {Digest::of(to_bytes("d")), 20};
  m.packs = {{Digest::of(to_bytes("p")), 30}};
  const std::string text = m.to_json();
  const RemoteManifest back = RemoteManifest::from_json(text, "it");
  CHECK(back.to_json() == text);
  CHECK(back.reference.text() == "team/a:v1");
  CHECK(back.packs.size() == 1);
  for (const char* wrong :
       {"", "{}", "[]", "{\"annotations\": 3}", "{\"annotations\": {\"coldstart.remote.version\": \"2\"}}"})
    CHECK_THROWS_AS(RemoteManifest::from_json(wrong, "it"), Error);
  for (size_t i = 0; i < text.size(); i += 7) {
    std::string cut = text;
    cut.erase(i, 3);
    try {
      RemoteManifest::from_json(cut, "it");
    } catch (const Error&) {
    }
  }
}

TEST_CASE("a registry's challenge") {
  const AuthChallenge c = AuthChallenge::parse(
      R"(Bearer realm="https://auth.example/token",service="reg, istry",scope="repository:a/b:pull,push",x=y)");
  CHECK(c.scheme == "bearer");
  CHECK(c.parameters.at("realm") == "https://auth.example/token");
  CHECK(c.parameters.at("service") == "reg, istry");
  CHECK(c.parameters.at("scope") == "repository:a/b:pull,push");
  CHECK(c.parameters.at("x") == "y");
  CHECK(AuthChallenge::parse("Basic").scheme == "basic");
  CHECK(AuthChallenge::parse("").parameters.empty());
}

TEST_CASE("a place that the environment names" *
          doctest::skip(std::getenv("COLDSTART_TEST_REMOTE") == nullptr)) {
  const char* url = std::getenv("COLDSTART_TEST_REMOTE");
  const TempDir scratch;
  conforms(*open_object_store(url, {}), scratch.path());
}
