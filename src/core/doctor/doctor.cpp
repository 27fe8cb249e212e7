// SPDX-License-Identifier: Apache-2.0
#include "core/doctor/doctor.h"

#include <algorithm>

#include <fmt/format.h>
#include <linux/capability.h>

#include "core/base/error.h"
#include "core/base/subprocess.h"
#include "core/checkpoint/criu_program.h"
#include "core/doctor/probes.h"

namespace coldstart {

namespace {

enum class Need { needed, optional };

/// The probe's finding as a check. `hint` is for what the probe has no better one for.
HostCheck check(std::string name, Need need, const Probe& probe, const std::string& hint = {}) {
  HostCheck result{std::move(name), need == Need::needed, false, {}, {}, {}};
  try {
    result.detail = probe();
    result.ok = true;
  } catch (const Error& e) {
    result.detail = e.message();
    result.hint = e.hint().empty() ? hint : e.hint();
  }
  return result;
}

Probe apart(Probe probe, std::chrono::seconds patience = std::chrono::seconds(2)) {
  return [probe = std::move(probe), patience] { return in_child(probe, patience); };
}

HostCheck check_criu() {
  std::filesystem::path path;
  HostCheck result = check("criu", Need::needed, [&] {
    const CriuProgram criu = CriuProgram::find();
    path = criu.path();
    const Output checked = run_program({path, "check"}, std::chrono::seconds(5));
    if (!checked.exit.ok()) {
      const std::string reason = checked.err.substr(0, checked.err.find('\n'));
      throw Error("'criu check' fails: " + reason, "'" + path.string() + " check' tells it in full");
    }
    return criu.version() + " at " + path.string();
  });
  result.path = path;
  return result;
}

}  // namespace

std::vector<HostCheck> check_host(const std::filesystem::path& store_root) {
  const auto without = [](const char* what) {
    return fmt::format("{}: run as root, or in a container with this capability", what);
  };
  const auto capability = [](int number) { return [number] { return probe_capability(number); }; };
  return {
      check("kernel", Need::needed, probe_kernel),
      check("cap_sys_admin", Need::needed, capability(CAP_SYS_ADMIN),
            without("'run', 'snapshot' and 'restore' need it")),
      check("cap_sys_ptrace", Need::needed, capability(CAP_SYS_PTRACE), without("'snapshot' needs it")),
      check("cap_checkpoint_restore", Need::needed, capability(CAP_CHECKPOINT_RESTORE),
            without("'restore' needs it to give processes their pids back")),
      check("cap_sys_resource", Need::optional, capability(CAP_SYS_RESOURCE),
            without("servers that run as another user cannot be snapshotted without it")),
      check("namespaces", Need::needed, apart(probe_namespaces), "'run', 'snapshot' and 'restore' need them"),
      check("fuse", Need::needed, apart(probe_fuse), "'mount' and images need it: run 'modprobe fuse'"),
      check("fuse_passthrough", Need::optional, apart([&] { return probe_passthrough(store_root); }),
            "file reads are slower without it"),
      check("overlayfs", Need::needed, apart(probe_overlay), "'run IMAGE' needs it: run 'modprobe overlay'"),
      check_criu(),
      check("userfaultfd", Need::optional, apart(probe_userfaultfd), "memory comes back eagerly without it"),
      check("store", Need::needed, [&] { return probe_store(store_root); }),
      check("gpu", Need::optional, apart(probe_gpu)),
      check("gpu_health", Need::optional, apart(probe_gpu_health, std::chrono::seconds(4)),
            "see whether 'nvidia-smi' works"),
      check("pressure", Need::optional, probe_pressure, "the kernel is built or started without PSI (psi=1)"),
  };
}

bool all_needed_ok(const std::vector<HostCheck>& checks) {
  return std::all_of(checks.begin(), checks.end(), [](const HostCheck& c) { return c.ok || !c.needed; });
}

}  // namespace coldstart
