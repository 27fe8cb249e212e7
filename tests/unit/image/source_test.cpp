// SPDX-License-Identifier: Apache-2.0
#include "core/image/source.h"

#include <algorithm>
#include <fstream>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/subprocess.h"
#include "core/image/posix_acl.h"
#include "listing.h"

using namespace coldstart;

namespace {

/// Runs a shell script in `folder`.
void shell(const TempDir& folder, const std::string& script) {
  const Output o = run_program({"bash", "-ec", "cd " + folder.path().string() + "\n" + script});
  REQUIRE_MESSAGE(o.exit.ok(), o.err);
}

std::map<std::string, std::string> list_dir(const std::filesystem::path& folder) {
  return listing(*open_dir_source(folder));
}

std::map<std::string, std::string> list_tar(const std::filesystem::path& file) {
  const Fd fd = open_file(file, O_RDONLY);
  return listing(*open_tar_source(fd.get(), file.filename()));
}

std::string tar_error(const TempDir& folder) {
  try {
    list_tar(folder.path() / "a.tar");
    return "no error";
  } catch (const Error& e) {
    return e.message();
  }
}

/// Python's tarfile writes what no sane tool would.
void make_tar(const TempDir& folder, const std::string& python) {
  shell(folder,
        "python3 - <<'END'\nimport tarfile, io\nt = tarfile.open('a.tar', 'w', format=tarfile.PAX_FORMAT)\n"
        "def add(name, type=tarfile.REGTYPE, **more):\n"
        "  i = tarfile.TarInfo(name); i.type = type\n"
        "  for k, v in more.items(): setattr(i, k, v)\n"
        "  t.addfile(i)\n" +
            python + "\nt.close()\nEND\n");
}

constexpr const char* make_tree = R"(
mkdir -p tree/deep/er tree/empty
echo hello > tree/file; ln tree/file tree/deep/hard; ln -s ../file tree/deep/er/soft
printf 'x%.0s' {1..3000} > tree/deep/long; : > tree/nothing
mkfifo tree/fifo
echo name > tree/$'not \xff utf-8'; echo umlaut > tree/ä; echo control > tree/$'a\nb'; echo surrogates > tree/$'\xed\xa0\xbd\xed\xb8\x80'; ln -s $'\xfe' tree/rawlink
long=$(printf 'n%.0s' {1..200}); mkdir -p tree/$long/$long; echo deep > tree/$long/$long/$long
ln -s $(printf 't%.0s' {1..500}) tree/longlink
truncate -s 3M tree/sparse; echo middle | dd of=tree/sparse bs=1M seek=1 conv=notrunc status=none
truncate -s 1M tree/hole
chmod 6755 tree/deep/long; chmod 1777 tree/empty
touch -h -d '2001-02-03 04:05:06.123456789' tree/deep/er/soft tree/file tree/empty
touch -d '1960-01-01 00:00:00.5' tree/nothing
)";

}  // namespace

TEST_CASE("a tar in every format yields what the folder itself does") {
  const TempDir dir;
  shell(dir, make_tree);
  const bool has_xattrs = ::setxattr((dir.path() / "tree/file").c_str(), "user.x", "a\0b", 3, 0) == 0;
  const auto expected = list_dir(dir.path() / "tree");
  CHECK(expected.size() == 21);
  shell(dir,
        "tar --sort=name --format=pax --xattrs --acls --sparse -C tree -cf a.tar .; gzip -k a.tar; zstd -q "
        "a.tar; xz -k a.tar");
  for (const char* kind : {"a.tar", "a.tar.gz", "a.tar.zst", "a.tar.xz"}) {
    CAPTURE(kind);
    CHECK(difference(list_tar(dir.path() / kind), expected) == "");
  }
  if (has_xattrs) CHECK(expected.at("deep/hard").find(std::string("user.x=a\0b", 10)) != std::string::npos);

  // The GNU format has whole seconds only.
  shell(dir,
        "find tree -exec touch -h -d @1000000000 {} +; rm a.tar; setfattr -x user.x tree/file || true;"
        "tar --sort=name --format=gnu --sparse -C tree -cf a.tar .");
  CHECK(difference(list_tar(dir.path() / "a.tar"), list_dir(dir.path() / "tree")) == "");
}

TEST_CASE("holes of a sparse file are not read") {
  const TempDir dir;
  shell(dir, "truncate -s 1T huge; echo end >> huge; truncate -s 1G hole");
  std::map<std::string, std::vector<DataRange>> ranges;
  const CancelToken cancel;
  open_dir_source(dir.path())->walk([&](SourceEntry& e, const auto&) { ranges[e.path] = e.ranges; }, cancel);
  CHECK(ranges["hole"].empty());
  REQUIRE(ranges["huge"].size() == 1);
  CHECK(ranges["huge"][0].length <= 4096);
}

TEST_CASE("an ACL in a tar becomes the attribute that the kernel has") {
  const TempDir dir;
  make_tar(
      dir,
      "add('f', mode=0o640, pax_headers={'SCHILY.acl.access': "
      "'user::rw-,user:7:r--,group::r--,group:9:rwx,mask::rwx,other::---', 'SCHILY.xattr.user.y': 'z'})");
  const std::string acl = encode_posix_acl({{AclTag::owner, 6},
                                            {AclTag::user, 4, 7},
                                            {AclTag::owning_group, 4},
                                            {AclTag::group, 7, 9},
                                            {AclTag::mask, 7},
                                            {AclTag::other, 0}});
  const std::string text = list_tar(dir.path() / "a.tar").at("f");
  CHECK(text.find("system.posix_acl_access=" + acl) != std::string::npos);
  CHECK(text.find("user.y=z") != std::string::npos);
}

TEST_CASE("a file that changes while it is read is an error that names it") {
  const TempDir dir;
  const auto error_if = [&](const char* script) -> std::string {
    shell(dir, "rm -rf t; mkdir t; head -c 100000 /dev/zero > t/file");
    const CancelToken cancel;
    try {
      open_dir_source(dir.path() / "t")
          ->walk(
              [&](SourceEntry& e, const TreeSource::Read& read) {
                if (e.path != "file") return;
                shell(dir, script);
                Bytes all(100000);
                for (size_t done = 0; done < all.size();) done += read(MutableByteSpan(all).subspan(done));
              },
              cancel);
    } catch (const Error& e) {
      return e.message();
    }
    return "no error";
  };
  const std::string file = "the file " + (dir.path() / "t/file").string() + " ";
  CHECK(error_if("truncate -s 10 t/file") == file + "shrank while it was being packed");
  CHECK(error_if("echo >> t/file") == file + "grew while it was being packed");
  CHECK(error_if("touch -d @5 t/file") == file + "was written to while it was being packed");
}

TEST_CASE("fault 9: names in a tar cannot leave the root") {
  const TempDir dir;
  make_tar(dir,
           "add('/abs/file'); add('./dot//file'); add('/abs/link', tarfile.LNKTYPE, linkname='/abs/file')");
  const auto all = list_tar(dir.path() / "a.tar");
  CHECK(all.count("abs/file") == 1);
  CHECK(all.count("dot/file") == 1);
  CHECK(all.at("abs/link") == "link to abs/file");
  for (const char* name : {"../out", "a/../../out", "a/.."}) {
    make_tar(dir, "add('" + std::string(name) + "')");
    CHECK(tar_error(dir).find("goes up with '..'") != std::string::npos);
  }
  make_tar(dir, "add('f'); add('l', tarfile.LNKTYPE, linkname='../../etc/passwd')");
  CHECK(tar_error(dir).find("goes up with '..'") != std::string::npos);
}

TEST_CASE("fault 8: numbers in a tar that cannot be are refused") {
  const TempDir dir;
  make_tar(dir, "add('f', pax_headers={'size': str(2**63)})");
  CHECK(tar_error(dir) != "no error");
  make_tar(dir, "add('f', pax_headers={'size': '-1'})");
  CHECK(tar_error(dir) != "no error");
  make_tar(dir, "add('f', pax_headers={'uid': '-5'})");
  CHECK(tar_error(dir).find("owner") != std::string::npos);
  make_tar(dir, "add('f', pax_headers={'uid': str(2**40)})");
  CHECK(tar_error(dir).find("owner") != std::string::npos);
  make_tar(dir, "add('" + std::string(300, 'x') + "')");
  CHECK(tar_error(dir).find("longer than 255") != std::string::npos);
  make_tar(dir, "add('f', pax_headers={'GNU.sparse.map': '0,5,3,5', 'GNU.sparse.size': '20'})");
  CHECK(tar_error(dir) != "no error");
}

TEST_CASE("fault 8: what is no tar, or only a part of one, is refused") {
  const TempDir dir;
  shell(dir, "head -c 100000 /dev/urandom > a.tar");
  CHECK(tar_error(dir) == "the tar a.tar is no tar, neither plain nor compressed with gzip, zstd or xz");
  shell(dir, ": > a.tar");
  CHECK(tar_error(dir) == "the tar a.tar is no tar, neither plain nor compressed with gzip, zstd or xz");
  shell(dir, "head -c 300000 /dev/urandom > file; tar -cf whole.tar file; head -c 200000 whole.tar > a.tar");
  CHECK(tar_error(dir) != "no error");
  shell(dir, "rm a.tar; zstd -q whole.tar -o w; head -c 200000 w > a.tar");
  CHECK(tar_error(dir) != "no error");
}

TEST_CASE("Ctrl-C ends the wait for a tar on a pipe") {
  const Pipe pipe = make_pipe();
  CancelToken cancel;
  cancel.cancel(2);
  CHECK_THROWS_WITH(open_tar_source(pipe.read.get(), "-")->walk([](auto&, auto&) {}, cancel), "interrupted");
}

TEST_CASE("a folder that is not there, is none, or is made up by the kernel is refused") {
  CHECK_THROWS_WITH(list_dir("/no/such/folder"), "there is no folder /no/such/folder");
  CHECK_THROWS_AS(list_dir("/etc/passwd"), Error);
  CHECK_THROWS_WITH(list_dir("/proc"),
                    "/proc is a file system that the kernel makes up (as /proc is): it cannot be packed");
}

TEST_CASE("a tree deeper than the descriptors we keep open is walked") {
  const TempDir dir;
  shell(dir, "for i in {1..300}; do mkdir d; echo $i > d/file; cd d; done; echo last > z");
  const auto all = list_dir(dir.path());
  CHECK(all.size() == 602);
}
