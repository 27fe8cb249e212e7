// SPDX-License-Identifier: Apache-2.0
#include "commands/commands.h"
#include "core/imagefs/imagefs.h"
#include "core/imagefs/presence.h"

namespace coldstart {

void add_umount(CLI::App& app, Session& session) {
  auto* command = app.add_subcommand("umount", "Unmount an image");
  const auto folder = std::make_shared<std::string>();
  command->add_option("DIR", *folder, "Where it is mounted")->required();
  command->callback([&session, folder] {
    unmount_image(*folder);
    const bool ended = await_absence(*folder, time_to_leave, &session.cancel);
    if (!ended)
      session.console.note("coldstart: warning: " + *folder +
                           " is unmounted, but the processes behind it have not ended yet; what they use of "
                           "the store is still in use");
    session.console.result(OrderedJson{{"mountpoint", *folder}, {"ended", ended}});
  });
}

}  // namespace coldstart
