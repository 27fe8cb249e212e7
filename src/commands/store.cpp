// SPDX-License-Identifier: Apache-2.0
#include "core/store/store.h"

#include <algorithm>

#include <fmt/format.h>

#include "commands/commands.h"
#include "commands/manifest_walkers.h"
#include "core/imagefs/shared_mount.h"
#include "core/memory/memory_tier.h"

namespace coldstart {

namespace {

void run_stat(Session& session) {
  const std::shared_ptr<Store> store = session.store();
  const StoreStat stat = store->stat(manifest_walkers());
  const MemoryTierStat memory = MemoryTier(store->root()).stat();
  session.console.table({"what", ">"}, {{"images", std::to_string(stat.images)},
                                        {"snapshots", std::to_string(stat.snapshots)},
                                        {"packs", std::to_string(stat.packs)},
                                        {"chunks", std::to_string(stat.chunks)},
                                        {"content", human_bytes(stat.content_bytes)},
                                        {"stored", human_bytes(stat.stored_bytes)},
                                        {"garbage", human_bytes(stat.garbage_bytes)},
                                        {"leftovers", human_bytes(stat.leftover_bytes)},
                                        {"memory", human_bytes(memory.bytes)},
                                        {"memory in use", human_bytes(memory.in_use_bytes)}});
  session.console.result({{"packs", stat.packs},
                          {"chunks", stat.chunks},
                          {"images", stat.images},
                          {"snapshots", stat.snapshots},
                          {"stored_bytes", stat.stored_bytes},
                          {"content_bytes", stat.content_bytes},
                          {"garbage_bytes", stat.garbage_bytes},
                          {"leftover_bytes", stat.leftover_bytes},
                          {"memory_bytes", memory.bytes},
                          {"memory_in_use_bytes", memory.in_use_bytes}});
}

void run_gc(Session& session, bool dry_run) {
  const std::shared_ptr<Store> store = session.store();
  if (!dry_run) dismiss_shared_mounts(store->root());
  const Store::GcResult result = store->gc(manifest_walkers(), dry_run, session.operation());
  const std::vector<Ref> snapshots = store->refs(RefKind::snapshot);
  const uint64_t memory = MemoryTier(store->root())
                              .collect(
                                  [&](const Digest& digest) {
                                    return std::any_of(snapshots.begin(), snapshots.end(),
                                                       [&](const Ref& ref) { return ref.digest == digest; });
                                  },
                                  dry_run);
  session.console.line(fmt::format("{} {}: {} packs removed, {} rewritten, {} leftovers removed",
                                   dry_run ? "would free" : "freed", human_bytes(result.freed_bytes),
                                   result.removed_packs, result.rewritten_packs, result.removed_leftovers));
  if (memory > 0)
    session.console.line(
        fmt::format("{} {} of memory", dry_run ? "would free" : "freed", human_bytes(memory)));
  session.console.result({{"freed_bytes", result.freed_bytes},
                          {"removed_packs", result.removed_packs},
                          {"rewritten_packs", result.rewritten_packs},
                          {"removed_leftovers", result.removed_leftovers},
                          {"freed_memory_bytes", memory},
                          {"dry_run", dry_run}});
}

void run_fsck(Session& session) {
  const Store::FsckResult result = session.store()->fsck(manifest_walkers(), session.operation());
  const bool ok = result.problems.empty();
  for (const std::string& problem : result.problems) session.console.line(problem);
  session.console.line(ok ? fmt::format("all is well: {} packs, {} chunks", result.packs, result.chunks)
                          : fmt::format("{} problems in {} packs", result.problems.size(), result.packs));
  session.console.result(
      {{"ok", ok}, {"packs", result.packs}, {"chunks", result.chunks}, {"problems", result.problems}});
  if (!ok) session.exit_status = static_cast<int>(Exit::corrupt);
}

}  // namespace

void add_store(CLI::App& app, Session& session) {
  auto* command = app.add_subcommand("store", "Look after the store");
  command->require_subcommand(1);
  command->add_subcommand("stat", "Tell what is in the store and what it takes")->callback([&session] {
    run_stat(session);
  });
  auto* gc = command->add_subcommand("gc", "Remove what no image, snapshot or running replica needs");
  const auto dry_run = std::make_shared<bool>(false);
  gc->add_flag("-n,--dry-run", *dry_run, "Only tell what would be freed");
  gc->footer("Waits for whoever is adding content. Mounts and replicas that run keep what they use.");
  gc->callback([&session, dry_run] { run_gc(session, *dry_run); });
  command->add_subcommand("fsck", "Check every byte in the store against its digest, and every reference")
      ->footer("Exit status 4 if something is wrong.")
      ->callback([&session] { run_fsck(session); });
}

}  // namespace coldstart
