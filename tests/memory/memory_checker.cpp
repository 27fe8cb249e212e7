// SPDX-License-Identifier: Apache-2.0
// A process that knows what its memory must hold, to be snapshotted and restored in every memory mode.
//
//   memory_checker FOLDER [--mb N] [--threads N] [--processes N] [--rounds N] [--seed N] [--read-only] [--gap
//   MB] [--aligned-stack]
//
// It fills its memory with a pattern and makes FOLDER/ready. Then it waits for FOLDER/go, which its restorer
// makes beforehand. From then on each thread writes, forks, and calls madvise, mremap, mprotect and munmap on
// blocks of its own, at random, against a model of what every page must be; at the end every byte is looked
// at. FOLDER/first appears after the first pages were right, FOLDER/result at the end, or FOLDER/wrong.
// --read-only: no more than reading all of it, by one thread a process (for benches). --gap: as much memory
// is mapped beside it and left untouched. --aligned-stack: a thread of each process waits with a stack
// pointer at the start of a page, where the others never do.
#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

constexpr size_t page_bytes = 4096;
constexpr size_t words = page_bytes / sizeof(uint64_t);
constexpr size_t block_pages = 512;

struct Options {
  std::string folder;
  size_t mb = 512;
  size_t gap_mb = 0;
  unsigned threads = 4;
  unsigned processes = 1;
  unsigned rounds = 400;
  unsigned seed = 1;
  bool read_only = false;
  bool aligned_stack = false;
};

std::string wrong_file;

/// Says what is wrong and ends everything. Also called in forked children: only system calls.
[[noreturn]] void wrong(const char* doing, const void* at, uint64_t want, uint64_t got) {
  char text[256];
  const int n =
      std::snprintf(text, sizeof text, "WRONG while %s: at %p want %016llx got %016llx (pid %d)\n", doing, at,
                    static_cast<unsigned long long>(want), static_cast<unsigned long long>(got), ::getpid());
  const int fd = ::open(wrong_file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (fd >= 0 && ::write(fd, text, static_cast<size_t>(n)) < 0) std::perror("wrong");
  ::_exit(3);
}

void must(bool ok, const char* doing) {
  if (!ok) wrong(doing, nullptr, 0, static_cast<uint64_t>(errno));
}

/// What a page must hold: zeros (value 0), or words made of the value.
uint64_t word_of(uint64_t value, size_t i) {
  return value == 0 ? 0 : (value + i) * 0x9e3779b97f4a7c15ULL;
}

void write_page(uint64_t* page, uint64_t value) {
  for (size_t i = 0; i < words; ++i) page[i] = word_of(value, i);
}

void check_page(const uint64_t* page, uint64_t value, const char* doing) {
  for (size_t i = 0; i < words; ++i)
    if (page[i] != word_of(value, i)) wrong(doing, page + i, word_of(value, i), page[i]);
}

/// After MADV_FREE: all of what it was, or zeros.
void check_freed_page(const uint64_t* page, uint64_t value) {
  check_page(page, page[1] == 0 ? 0 : value, "reading freed memory");
}

void* map_pages(void* at, size_t pages, int more = 0) {
  void* p = ::mmap(at, pages * page_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | more, -1, 0);
  must(p != MAP_FAILED, "mmap");
  return p;
}

/// Memory that moves as one; `values` is the model of its pages.
struct Block {
  uint64_t* at = nullptr;
  std::vector<uint64_t> values;
  bool one_mapping = true;  // as far as we know: never torn by mprotect or mmap

  uint64_t* page(size_t i) const { return at + i * words; }
  size_t bytes() const { return values.size() * page_bytes; }
  void check(size_t first, size_t last, const char* doing) const {
    for (size_t i = first; i < last; ++i) check_page(page(i), values[i], doing);
  }
};

class Player {
 public:
  Player(size_t pages, uint64_t seed) : random_(seed), next_value_(seed << 32 | 1) {
    while (pages > 0) {
      const size_t n = std::min(pages, block_pages);
      Block block;
      block.at = static_cast<uint64_t*>(map_pages(nullptr, n));
      for (size_t i = 0; i < n; ++i) {
        // Some are never touched, so that they are zeros that no image holds.
        block.values.push_back(below(16) == 0 ? 0 : next_value_++);
        if (block.values.back() != 0) write_page(block.page(i), block.values.back());
      }
      blocks_.push_back(std::move(block));
      pages -= n;
    }
  }

  void play(unsigned rounds) {
    for (unsigned i = 0; i < rounds; ++i) move();
    check_all("reading at the end");
  }

  void check_all(const char* doing) const {
    for (const Block& block : blocks_) block.check(0, block.values.size(), doing);
  }
  const Block& first() const { return blocks_.front(); }

 private:
  size_t below(size_t n) { return static_cast<size_t>(random_() % n); }

  void move() {
    Block& block = blocks_[below(blocks_.size())];
    const size_t first = below(block.values.size());
    const size_t last = first + 1 + below(block.values.size() - first);
    switch (below(14)) {
      case 0:
      case 1:
        return block.check(first, std::min(last, first + 32), "reading");
      case 2:
      case 3:
        return write(block, first, std::min(last, first + 16));
      case 4:
        return discard(block, first, last);
      case 5:
        return free_lazily(block, first, std::min(last, first + 64));
      case 6:
        return advise_huge(block);
      case 7:
        return protect(block, first, last);
      case 8:
        return unmap(block, first, last);
      case 9:
        return move_away(block, 0);
      case 10:
        return move_away(block, 1 + below(64));
      case 11:
        return shrink(block);
      case 12:
        return below(4) == 0 ? fork_child(block) : write(block, first, first + 1);
      case 13:
        return below(16) == 0 ? exec_child() : block.check(first, first + 1, "reading");
    }
  }

  void write(Block& block, size_t first, size_t last) {
    for (size_t i = first; i < last; ++i) {
      // Half of them are changed, not replaced, so that the old bytes are needed.
      if (below(2) == 0) check_page(block.page(i), block.values[i], "reading before writing");
      block.values[i] = next_value_++;
      write_page(block.page(i), block.values[i]);
    }
  }

  void discard(Block& block, size_t first, size_t last) {
    must(::madvise(block.page(first), (last - first) * page_bytes, MADV_DONTNEED) == 0, "MADV_DONTNEED");
    for (size_t i = first; i < last; ++i) block.values[i] = 0;
    block.check(first, std::min(last, first + 8), "reading discarded memory");
  }

  void free_lazily(Block& block, size_t first, size_t last) {
    // Memory that is shared with other replicas cannot be freed lazily: as allocators do, discard it then.
    if (::madvise(block.page(first), (last - first) * page_bytes, MADV_FREE) != 0) {
      must(errno == EINVAL, "MADV_FREE");
      discard(block, first, last);
    }
    for (size_t i = first; i < last; ++i) {
      check_freed_page(block.page(i), block.values[i]);
      block.values[i] = next_value_++;  // a write takes the page back
      write_page(block.page(i), block.values[i]);
    }
  }

  void advise_huge(Block& block) {
    const int advice = below(2) == 0 ? MADV_HUGEPAGE : MADV_NOHUGEPAGE;
    must(::madvise(block.at, block.bytes(), advice) == 0 || errno == EINVAL, "MADV_HUGEPAGE");
  }

  void protect(Block& block, size_t first, size_t last) {
    const size_t bytes = (last - first) * page_bytes;
    block.one_mapping = false;
    must(::mprotect(block.page(first), bytes, below(2) == 0 ? PROT_READ : PROT_NONE) == 0, "mprotect");
    must(::mprotect(block.page(first), bytes, PROT_READ) == 0, "mprotect");
    block.check(first, std::min(last, first + 4), "reading protected memory");
    must(::mprotect(block.page(first), bytes, PROT_READ | PROT_WRITE) == 0, "mprotect");
  }

  void unmap(Block& block, size_t first, size_t last) {
    if (below(2) == 0 && first > 16) {  // the end of the block: who takes the hole is none of our business
      must(::munmap(block.page(first), (block.values.size() - first) * page_bytes) == 0, "munmap");
      block.values.resize(first);
      return;
    }
    map_pages(block.page(first), last - first, MAP_FIXED);
    block.one_mapping = false;
    for (size_t i = first; i < last; ++i) block.values[i] = 0;
    block.check(first, std::min(last, first + 4), "reading mapped memory");
  }

  void move_away(Block& block, size_t grow) {
    const size_t pages = block.values.size() + grow;
    void* to = nullptr;
    if (block.one_mapping && below(2) == 0) {
      // To a place of our choice: MREMAP_FIXED unmaps what is there. Since Linux 6.17 it moves several
      // mappings at once, but fails in the middle where userfaultfd has a part of them.
      void* place = map_pages(nullptr, pages);
      to = ::mremap(block.at, block.bytes(), pages * page_bytes, MREMAP_MAYMOVE | MREMAP_FIXED, place);
      if (to == MAP_FAILED) ::munmap(place, pages * page_bytes);
    } else {
      to = ::mremap(block.at, block.bytes(), pages * page_bytes, MREMAP_MAYMOVE);
    }
    if (to == MAP_FAILED)
      return must(errno == EFAULT || errno == EINVAL, "mremap");  // it has become many mappings
    block.at = static_cast<uint64_t*>(to);
    block.values.resize(pages, 0);
    block.check(pages - grow, pages, "reading what it grew by");
    const size_t some = below(pages);
    block.check(some, some + 1, "reading moved memory");
  }

  void shrink(Block& block) {
    if (block.values.size() < 16) return;
    const size_t pages = block.values.size() - 1 - below(block.values.size() / 8);
    if (::mremap(block.at, block.bytes(), pages * page_bytes, 0) == MAP_FAILED)
      return must(errno == EFAULT, "mremap");
    block.values.resize(pages);
  }

  void fork_child(Block& block) {
    const bool deeper = below(2) == 0;
    const pid_t pid = ::fork();
    must(pid >= 0, "fork");
    if (pid == 0) child(block, deeper);
    write(block, 0, std::min<size_t>(8, block.values.size()));  // which the child must not see
    reap(pid);
  }

  [[noreturn]] void child(Block& block, bool deeper) {
    if (deeper) {
      const pid_t pid = ::fork();
      must(pid >= 0, "fork");
      if (pid != 0) {
        discard(block, 0, std::min<size_t>(64, block.values.size()));
        reap(pid);
        ::_exit(0);
      }
    }
    block.check(0, block.values.size(), "reading in a forked child");
    discard(block, 0, std::min<size_t>(4, block.values.size()));
    write(block, 0, std::min<size_t>(16, block.values.size()));
    block.check(0, block.values.size(), "reading again in a forked child");
    ::_exit(0);
  }

  void exec_child() {
    const pid_t pid = ::fork();
    must(pid >= 0, "fork");
    if (pid == 0) {
      ::execl("/bin/true", "true", nullptr);
      ::_exit(4);
    }
    reap(pid);
  }

  static void reap(pid_t pid) {
    int status = 0;
    while (::waitpid(pid, &status, 0) < 0) must(errno == EINTR, "waitpid");
    if (status != 0) {
      if (WIFEXITED(status) && WEXITSTATUS(status) == 3) ::_exit(3);  // it has told
      wrong("waiting for a child", nullptr, 0, static_cast<uint64_t>(status));
    }
  }

  std::mt19937_64 random_;
  uint64_t next_value_;
  std::vector<Block> blocks_;
};

void make_file(const std::string& path, const std::string& text) {
  std::ofstream(path + ".part") << text << '\n';
  must(std::rename((path + ".part").c_str(), path.c_str()) == 0, "rename");
}

void wait_for_go(const Options& o) {
  const std::string go = o.folder + "/go";
  while (::access(go.c_str(), F_OK) != 0) ::usleep(500);
}

/// Waits until the other end of a pipe is closed, with the stack pointer that far behind the start of a page.
/// CRIU takes all of a process for stack where one stands at the very start.
void wait_with_stack_at(int fd, unsigned long offset) {
  char byte;
#ifdef __x86_64__
  long n = SYS_read;
  asm volatile("mov %%rsp, %%r12\n\tand $-4096, %%rsp\n\tsub %[back], %%rsp\n\tsyscall\n\tmov %%r12, %%rsp"
               : "+a"(n)
               : "D"(long{fd}), "S"(&byte), "d"(1L), [back] "r"((page_bytes - offset) % page_bytes)
               : "rcx", "r11", "r12", "memory");
#else
  must(offset != 0, "a stack at the start of a page: known for x86-64 only");
  const ssize_t n = ::read(fd, &byte, 1);
#endif
  must(n == 0, "read");
}

Options parse(int argc, char** argv) {
  Options o;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    const auto value = [&]() -> unsigned {
      return i + 1 < argc ? static_cast<unsigned>(std::stoul(argv[++i])) : 0;
    };
    if (word == "--mb")
      o.mb = value();
    else if (word == "--gap")
      o.gap_mb = value();
    else if (word == "--threads")
      o.threads = value();
    else if (word == "--processes")
      o.processes = value();
    else if (word == "--rounds")
      o.rounds = value();
    else if (word == "--seed")
      o.seed = value();
    else if (word == "--read-only")
      o.read_only = true;
    else if (word == "--aligned-stack")
      o.aligned_stack = true;
    else
      o.folder = word;
  }
  return o;
}

/// Fills, waits, plays; ends with 0 or does not return.
void run_process(const Options& o, unsigned index, bool root, const std::vector<pid_t>& children) {
  if (o.read_only) {
    const Player player((o.mb << 20) / page_bytes / o.processes, o.seed * 1000 + index);
    if (root) make_file(o.folder + "/ready", "ready");
    wait_for_go(o);
    player.first().check(0, player.first().values.size(), "reading first");
    if (root) make_file(o.folder + "/first", "ok");
    player.check_all("reading");
  } else {
    std::vector<Player> players;
    for (unsigned i = 0; i < o.threads; ++i)
      players.emplace_back((o.mb << 20) / page_bytes / o.processes / o.threads,
                           (o.seed * 1000 + index) * 100 + i);
    std::vector<std::thread> threads;
    for (Player& player : players)
      threads.emplace_back([&] {
        wait_for_go(o);
        player.play(o.rounds);
      });
    int done[2];
    must(::pipe2(done, O_CLOEXEC) == 0, "pipe2");
    std::thread closer([&] {
      for (std::thread& thread : threads) thread.join();
      ::close(done[1]);
    });
    if (root) make_file(o.folder + "/ready", "ready");
    wait_with_stack_at(done[0], o.aligned_stack ? 0 : page_bytes / 2);
    closer.join();
    ::close(done[0]);
  }
  for (const pid_t pid : children) {
    int status = 0;
    while (::waitpid(pid, &status, 0) < 0) must(errno == EINTR, "waitpid");
    if (status != 0 && !(WIFEXITED(status) && WEXITSTATUS(status) == 3))
      wrong("waiting for a process", nullptr, 0, static_cast<uint64_t>(status));
    if (status != 0) ::_exit(3);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const Options o = parse(argc, argv);
  if (o.folder.empty()) {
    std::fputs("usage: memory_checker FOLDER [--mb N] ...\n", stderr);
    return 2;
  }
  wrong_file = o.folder + "/wrong";
  if (o.gap_mb > 0) map_pages(nullptr, (o.gap_mb << 20) / page_bytes);
  std::vector<pid_t> children;
  for (unsigned i = 1; i < o.processes; ++i) {
    const pid_t pid = ::fork();
    must(pid >= 0, "fork");
    if (pid == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      run_process(o, i, false, {});
      return 0;
    }
    children.push_back(pid);
  }
  run_process(o, 0, true, children);
  make_file(o.folder + "/result", "ok");
  return 0;
}
