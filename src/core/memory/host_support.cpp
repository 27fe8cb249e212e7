// SPDX-License-Identifier: Apache-2.0
#include "core/memory/host_support.h"

#include <cerrno>

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/base/error.h"
#include "core/base/fd.h"
#include "core/base/log.h"

namespace coldstart {

namespace {

constexpr size_t page = 4096;

/// One that also gets faults of the kernel itself (a read(2) into missing memory), with what CRIU asks for.
Fd open_userfaultfd(uint64_t& features) {
  const int fd = static_cast<int>(::syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK));
  if (fd < 0 && errno == EPERM)
    throw Error::missing("userfaultfd is not allowed",
                         "run as root, or set sysctl vm.unprivileged_userfaultfd=1");
  if (fd < 0) throw Error::sys("userfaultfd cannot be opened", {}, Exit::missing);
  Fd result(fd);
  uffdio_api api{UFFD_API,
                 UFFD_FEATURE_EVENT_FORK | UFFD_FEATURE_EVENT_REMAP | UFFD_FEATURE_EVENT_UNMAP |
                     UFFD_FEATURE_EVENT_REMOVE,
                 0};
  if (::ioctl(fd, UFFDIO_API, &api) != 0)
    throw Error::sys("the kernel lacks userfaultfd's events of fork, mremap and madvise", {}, Exit::missing);
  features = api.features;
  return result;
}

/// A private mapping of a file in memory.
class PrivateMapping {
 public:
  explicit PrivateMapping(const Fd& file)
      : at_(::mmap(nullptr, page, PROT_READ | PROT_WRITE, MAP_PRIVATE, file.get(), 0)) {
    if (at_ == MAP_FAILED) throw Error::sys("cannot map a memfd");
    // Another thread that forks while this is watched would wait, with malloc's locks, until somebody has
    // read of it.
    if (::madvise(at_, page, MADV_DONTFORK) != 0) {
      const int error = errno;
      ::munmap(at_, page);
      throw Error::sys(error, "cannot keep a mapping from children");
    }
  }
  PrivateMapping(const PrivateMapping&) = delete;
  PrivateMapping& operator=(const PrivateMapping&) = delete;
  ~PrivateMapping() { ::munmap(at_, page); }
  uffdio_range range() const { return {reinterpret_cast<uint64_t>(at_), page}; }
  char first() const { return *static_cast<volatile char*>(at_); }

 private:
  void* at_;
};

template <class Require>
bool can(MemoryMode mode, const Require& require) {
  try {
    require();
    return true;
  } catch (const Error& e) {
    log::info("no {} memory on this host: {}", to_string(mode), e.message());
    return false;
  }
}

}  // namespace

void require_userfaultfd() {
  uint64_t features = 0;
  open_userfaultfd(features);
}

void require_shared_faults() {
  const Fd file(check(::memfd_create("coldstart-probe", MFD_CLOEXEC), "cannot make a memfd"));
  check(::ftruncate(file.get(), page), "cannot size a memfd");
  pwrite_full(file.get(), as_bytes("x"), 0);
  const PrivateMapping mapping(file);
  uint64_t features = 0;
  const Fd uffd = open_userfaultfd(features);  // closed first: else unmapping would wait for it to be read
  if ((features & UFFD_FEATURE_MINOR_SHMEM) == 0)
    throw Error::missing("the kernel tells of no minor faults on shared memory", "use Linux 5.14 or newer");
  uffdio_register watch{mapping.range(), UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_MINOR, 0};
  if (::ioctl(uffd.get(), UFFDIO_REGISTER, &watch) != 0)
    throw Error::sys("the kernel does not register private mappings of shared memory", {}, Exit::missing);
  uffdio_continue bring{mapping.range(), 0, 0};
  if (::ioctl(uffd.get(), UFFDIO_CONTINUE, &bring) != 0)
    throw Error::sys("the kernel does not map a page of shared memory", {}, Exit::missing);
  if (mapping.first() != 'x') throw Error::missing("a mapped page of shared memory has the wrong content");
}

MemoryMode choose_memory_mode(std::string_view word) {
  const MemoryMode wanted = word == "auto" ? MemoryMode::shared : parse_memory_mode(word);
  if (wanted == MemoryMode::shared && can(MemoryMode::shared, require_shared_faults))
    return MemoryMode::shared;
  if (wanted != MemoryMode::eager && can(MemoryMode::lazy, require_userfaultfd)) return MemoryMode::lazy;
  return MemoryMode::eager;
}

}  // namespace coldstart
