// SPDX-License-Identifier: Apache-2.0
#include "commands/commands.h"
#include "core/imagefs/imagefs.h"

namespace coldstart {

void add_umount(CLI::App& app, Session& session) {
  auto* command = app.add_subcommand("umount", "Unmount an image");
  const auto folder = std::make_shared<std::string>();
  command->add_option("DIR", *folder, "Where it is mounted")->required();
  command->callback([&session, folder] {
    unmount_image(*folder);
    session.console.result(OrderedJson{{"mountpoint", *folder}});
  });
}

}  // namespace coldstart
