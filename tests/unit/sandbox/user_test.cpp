// SPDX-License-Identifier: Apache-2.0
#include "core/sandbox/user.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "core/base/error.h"
#include "core/base/files.h"

using namespace coldstart;

namespace {

struct Root {
  TempDir folder;
  Fd fd{open_file(folder.path(), O_PATH | O_DIRECTORY)};
  void put(const std::string& name, std::string_view text) const {
    make_folders((folder.path() / name).parent_path());
    write_full(open_file(folder.path() / name, O_WRONLY | O_CREAT, 0644).get(), as_bytes(text));
  }
  Identity who(const std::string& user) const { return resolve_user(fd.get(), user); }
};

}  // namespace

TEST_CASE("users are found by name and by number, with their groups") {
  const Root root;
  root.put("etc/passwd", "root:x:0:0::/root:/bin/sh\nbroken\nann:x:100:200::/home/ann:\n300:x:7:8::rel:\n");
  root.put("etc/group", "ann:x:200:\nmore:x:201:bob,ann\nodd:x:y:ann\nlast:x:202:ann");
  using Groups = std::vector<gid_t>;
  CHECK(root.who("ann").ids.uid == 100);
  CHECK(root.who("ann").ids.gid == 200);
  CHECK(root.who("ann").ids.groups == Groups{200, 201, 202});
  CHECK(root.who("ann").home == "/home/ann");
  CHECK(root.who("100").ids.groups == Groups{200, 201, 202});
  CHECK(root.who("ann:more").ids.groups == Groups{201});
  CHECK(root.who("ann:77").ids.gid == 77);
  CHECK(root.who("555").ids.uid == 555);
  CHECK(root.who("555").ids.gid == 0);
  CHECK(root.who("555").home == "/");
  CHECK(root.who("300").ids.uid == 7);  // the name goes first
  CHECK(root.who(":200").ids.uid == 0);
  CHECK_THROWS_WITH_AS(root.who("eve"), doctest::Contains("no user 'eve'"), Error);
  CHECK_THROWS_WITH_AS(root.who("ann:eve"), doctest::Contains("no group 'eve'"), Error);
  CHECK_THROWS_AS(root.who("4294967295"), Error);
}

TEST_CASE("without the files only numbers are known; links do not lead out") {
  const Root root;
  CHECK(root.who("5:6").ids.gid == 6);
  CHECK_THROWS_AS(root.who("root"), Error);
  const TempDir outside;
  write_full(open_file(outside.path() / "passwd", O_WRONLY | O_CREAT, 0644).get(),
             as_bytes("eve:x:1:1::/:\n"));
  make_folders(root.folder.path() / "etc");
  std::filesystem::create_symlink(outside.path() / "passwd", root.folder.path() / "etc/passwd");
  CHECK_THROWS_AS(root.who("eve"), Error);
}

TEST_CASE("a working folder is made inside, through links that stay inside") {
  const Root root;
  make_folders(root.folder.path() / "real");
  std::filesystem::create_directory_symlink("/real", root.folder.path() / "link");
  make_folder_inside(root.fd.get(), "/link/a//b/");
  CHECK(std::filesystem::is_directory(root.folder.path() / "real/a/b"));
  make_folder_inside(root.fd.get(), "/");
  std::filesystem::create_directory_symlink("/nowhere", root.folder.path() / "dangling");
  CHECK_THROWS_AS(make_folder_inside(root.fd.get(), "/dangling/x"), Error);
  root.put("file", "x");
  CHECK_THROWS_AS(make_folder_inside(root.fd.get(), "/file/x"), Error);
}
