#include "measure/worker/sandbox.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <vector>

namespace lathe::worker {
namespace {

#if defined(__x86_64__)
constexpr uint32_t kAuditArchitecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr uint32_t kAuditArchitecture = AUDIT_ARCH_AARCH64;
#else
constexpr uint32_t kAuditArchitecture = 0;
#endif

bool Limit(int resource, uint64_t value) {
  const rlimit limit = {value, value};
  return ::setrlimit(static_cast<__rlimit_resource>(resource), &limit) == 0;
}

// All of the job's CPUs, so that memory is first touched there; threads are pinned one by one later.
void PinTo(const Job& job) {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (uint32_t i = 0; i < job.cpu_count; ++i)
    if (job.cpus[i] >= 0 && job.cpus[i] < CPU_SETSIZE) CPU_SET(static_cast<size_t>(job.cpus[i]), &set);
  if (job.cpu_count > 0) ::sched_setaffinity(0, sizeof set, &set);
}

// A denied call fails with EPERM rather than killing: a library that tries something optional goes on without it.
class Filter {
 public:
  Filter() {
    Load(offsetof(seccomp_data, arch));
    JumpUnless(BPF_JEQ, kAuditArchitecture, Return(EPERM));
    Load(offsetof(seccomp_data, nr));
#if defined(__x86_64__)
    JumpIf(BPF_JGE, 0x40000000, Return(EPERM));  // the x32 numbering of the same calls
#endif
  }
  void Deny(long call, int error = EPERM) { JumpIf(BPF_JEQ, static_cast<uint32_t>(call), Return(error)); }
  // Denied when any of `bits` is set in the low half of argument `index`.
  void DenyFlags(long call, int index, uint32_t bits, int error) { When(call, index, BPF_JSET, bits, Return(error), Allow()); }
  void DenyWithoutFlag(long call, int index, uint32_t bit) { When(call, index, BPF_JSET, bit, Allow(), Return(EPERM)); }
  void DenyUnlessEqual(long call, int index, uint32_t value) { When(call, index, BPF_JEQ, value, Allow(), Return(EPERM)); }
  bool Install() {
    code_.push_back(Allow());
    const sock_fprog program = {static_cast<unsigned short>(code_.size()), code_.data()};
    return ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
  }

 private:
  static sock_filter Return(int error) { return BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<uint32_t>(error)); }
  static sock_filter Allow() { return BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW); }
  void Load(size_t offset) { code_.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<uint32_t>(offset))); }
  void JumpIf(unsigned test, uint32_t value, sock_filter action) {
    code_.push_back(BPF_JUMP(static_cast<uint16_t>(BPF_JMP | BPF_K | test), value, 0, 1));
    code_.push_back(action);
  }
  void JumpUnless(unsigned test, uint32_t value, sock_filter action) {
    code_.push_back(BPF_JUMP(static_cast<uint16_t>(BPF_JMP | BPF_K | test), value, 1, 0));
    code_.push_back(action);
  }
  // Five instructions that decide `call` by one argument (little-endian: the low half comes first) and leave the rest untouched.
  void When(long call, int index, unsigned test, uint32_t value, sock_filter yes, sock_filter no) {
    code_.push_back(BPF_JUMP(BPF_JMP | BPF_K | BPF_JEQ, static_cast<uint32_t>(call), 0, 4));
    Load(offsetof(seccomp_data, args) + 8 * static_cast<size_t>(index));
    code_.push_back(BPF_JUMP(static_cast<uint16_t>(BPF_JMP | BPF_K | test), value, 0, 1));
    code_.push_back(yes);
    code_.push_back(no);
  }

  std::vector<sock_filter> code_;
};

}  // namespace

bool InstallSystemCallFilter() {
  if (kAuditArchitecture == 0) return false;
  Filter filter;
  // Other processes: none are started, none are reached. Threads are.
#ifdef __NR_fork
  filter.Deny(__NR_fork);
  filter.Deny(__NR_vfork);
#endif
  filter.Deny(435, ENOSYS);  // clone3, whose flags lie in memory that no filter sees: the C library falls back to clone
  filter.DenyWithoutFlag(__NR_clone, 0, CLONE_THREAD);
  const auto self = static_cast<uint32_t>(::getpid());
  filter.DenyUnlessEqual(__NR_kill, 0, self);
  filter.DenyUnlessEqual(__NR_tgkill, 0, self);
  filter.DenyUnlessEqual(__NR_rt_sigqueueinfo, 0, self);
  for (const long call :
       {static_cast<long>(__NR_execve), static_cast<long>(__NR_execveat), static_cast<long>(__NR_setsid), static_cast<long>(__NR_setpgid),
        static_cast<long>(__NR_ptrace), static_cast<long>(__NR_process_vm_readv), static_cast<long>(__NR_process_vm_writev),
        static_cast<long>(__NR_kcmp), 424L /* pidfd_send_signal */, 434L /* pidfd_open */, 438L /* pidfd_getfd */})
    filter.Deny(call);
  // The network, and other ways out.
  for (const long call : {static_cast<long>(__NR_socket), static_cast<long>(__NR_connect), static_cast<long>(__NR_bind),
                          static_cast<long>(__NR_bpf), static_cast<long>(__NR_keyctl), static_cast<long>(__NR_add_key),
                          static_cast<long>(__NR_perf_event_open), static_cast<long>(__NR_io_setup), 425L /* io_uring_setup */,
                          static_cast<long>(__NR_shmget), static_cast<long>(__NR_msgget), static_cast<long>(__NR_mq_open)})
    filter.Deny(call);
  // Files: reading is what the loader does; nothing is written, so nothing fills a disk and nothing is left behind.
  constexpr uint32_t kWriting = O_WRONLY | O_RDWR | O_CREAT | O_TRUNC;
  filter.DenyFlags(__NR_openat, 2, kWriting, EACCES);
#ifdef __NR_open
  filter.DenyFlags(__NR_open, 1, kWriting, EACCES);
  for (const long call :
       {__NR_creat, __NR_mkdir, __NR_rmdir, __NR_unlink, __NR_rename, __NR_link, __NR_symlink, __NR_mknod, __NR_chmod, __NR_chown})
    filter.Deny(call);
#endif
  for (const long call : {437L /* openat2 */, static_cast<long>(__NR_mkdirat), static_cast<long>(__NR_unlinkat),
                          static_cast<long>(__NR_renameat2), static_cast<long>(__NR_linkat), static_cast<long>(__NR_symlinkat),
                          static_cast<long>(__NR_mknodat), static_cast<long>(__NR_fchmodat), static_cast<long>(__NR_fchownat),
                          static_cast<long>(__NR_truncate), static_cast<long>(__NR_memfd_create)})
    filter.Deny(call);
#ifdef __NR_renameat
  filter.Deny(__NR_renameat);
#endif
  // The machine: a worker may have been started as root.
  for (const long call : {static_cast<long>(__NR_mount),
                          static_cast<long>(__NR_umount2),
                          static_cast<long>(__NR_pivot_root),
                          static_cast<long>(__NR_chroot),
                          static_cast<long>(__NR_reboot),
                          static_cast<long>(__NR_swapon),
                          static_cast<long>(__NR_swapoff),
                          static_cast<long>(__NR_init_module),
                          static_cast<long>(__NR_finit_module),
                          static_cast<long>(__NR_delete_module),
                          static_cast<long>(__NR_kexec_load),
                          static_cast<long>(__NR_unshare),
                          static_cast<long>(__NR_setns),
                          static_cast<long>(__NR_settimeofday),
                          static_cast<long>(__NR_clock_settime),
                          static_cast<long>(__NR_adjtimex),
                          static_cast<long>(__NR_sethostname),
                          static_cast<long>(__NR_setuid),
                          static_cast<long>(__NR_setgid),
                          static_cast<long>(__NR_setreuid),
                          static_cast<long>(__NR_setresuid),
                          static_cast<long>(__NR_setresgid),
                          static_cast<long>(__NR_setgroups),
                          static_cast<long>(__NR_capset),
                          static_cast<long>(__NR_setrlimit),
                          static_cast<long>(__NR_personality),
                          static_cast<long>(__NR_quotactl),
                          static_cast<long>(__NR_acct),
                          static_cast<long>(__NR_syslog),
                          static_cast<long>(__NR_name_to_handle_at),
                          static_cast<long>(__NR_open_by_handle_at)})
    filter.Deny(call);
  filter.DenyUnlessEqual(__NR_prlimit64, 2, 0);  // reading limits is fine
  return filter.Install();
}

void TieToParent(const Job& job, ResultFile& results) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (job.parent_pid != 0 && ::getppid() != job.parent_pid) ::_exit(0);  // it died before the line above
#ifdef __NR_close_range
  const bool closed = ::syscall(__NR_close_range, kFirstFreeFd, ~0U, 0) == 0;
#else
  const bool closed = false;
#endif
  if (!closed)
    for (int fd = kFirstFreeFd; fd < 1024; ++fd) ::close(fd);
  Limit(RLIMIT_CORE, 0);
  PinTo(job);
  // Ahead of whatever else wants our CPU, where we may; a candidate that hangs is killed from another one.
  constexpr int kAhead = -15;
  if (::setpriority(PRIO_PROCESS, 0, kAhead) == 0) results.header().sandbox |= kPriority;
  results.WriteHeader();
}

void Confine(const Job& job, ResultFile& results) {
  uint32_t& flags = results.header().sandbox;
  if (job.uid != 0 && ::geteuid() == 0) {
    const bool changed =
        ::setgroups(0, nullptr) == 0 && ::setresgid(job.gid, job.gid, job.gid) == 0 && ::setresuid(job.uid, job.uid, job.uid) == 0;
    if (!changed) results.End(Outcome::kJobUnusable, "change to user %u: %s", job.uid, std::strerror(errno));
    ::prctl(PR_SET_DUMPABLE, 1);         // or /proc/self/fd, by which the artifact is opened, belongs to root
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // a change of user clears it
    if (job.parent_pid != 0 && ::getppid() != job.parent_pid) ::_exit(0);
    flags |= kOtherUser;
  }
  Limit(RLIMIT_FSIZE, job.file_bytes > job.results_bytes ? job.file_bytes : job.results_bytes);
  Limit(RLIMIT_NOFILE, 64);
  if (job.cpu_seconds > 0) Limit(RLIMIT_CPU, job.cpu_seconds);
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0) flags |= kNoNewPrivileges;
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  if (job.memory_headroom_bytes > 0) {
    // Everything the job needs is mapped by now; what is left is the artifact and what the candidate asks for.
    unsigned long long pages = 0;
    if (FILE* statm = std::fopen("/proc/self/statm", "re")) {
      if (std::fscanf(statm, "%llu", &pages) != 1) pages = 0;
      std::fclose(statm);
    }
    const uint64_t mapped = pages * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
    if (mapped > 0 && Limit(RLIMIT_AS, mapped + job.memory_headroom_bytes)) flags |= kAddressSpaceLimit;
  }
#endif
  if ((job.flags & kConfine) != 0) {
    Limit(RLIMIT_NPROC, 0);  // for whoever is not root; our threads are there already
    if (InstallSystemCallFilter())
      flags |= kSystemCallFilter;
    else if (::unshare(CLONE_NEWNET) == 0)
      flags |= kNetworkNamespace;  // costs milliseconds, so only where the filter, which denies sockets, is missing
  }
  results.Reach(Stage::kConfined);
}

}  // namespace lathe::worker
