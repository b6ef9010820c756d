#include "measure/worker/compiler_sandbox.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/landlock.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

namespace lathe::worker {
namespace {

// One number on every architecture.
constexpr long kCreateRuleset = 444, kAddRule = 445, kRestrictSelf = 446;
constexpr uint64_t kRead = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR, kExecute = LANDLOCK_ACCESS_FS_EXECUTE;
constexpr uint64_t kOfFiles = kExecute | LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE;
constexpr uint64_t kEverything = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1;  // of the first version of Landlock

bool HasLandlock() { return ::syscall(kCreateRuleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION) >= 1; }

void Allow(int ruleset, const char* path, uint64_t access) {
  const int fd = ::open(path, O_PATH | O_CLOEXEC);
  if (fd < 0) return;  // not every system has every folder
  struct stat facts = {};
  ::fstat(fd, &facts);
  landlock_path_beneath_attr rule = {};
  rule.allowed_access = S_ISDIR(facts.st_mode) ? access : access & kOfFiles;
  rule.parent_fd = fd;
  ::syscall(kAddRule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
  ::close(fd);
}

void RestrictFiles(const char* readable) {
  landlock_ruleset_attr attributes = {};
  attributes.handled_access_fs = kEverything;
  const int ruleset = static_cast<int>(::syscall(kCreateRuleset, &attributes, sizeof attributes, 0));
  if (ruleset < 0) return;
  for (const char* folder : {"/usr", "/lib", "/lib32", "/lib64", "/libx32", "/bin", "/sbin", "/opt"})
    Allow(ruleset, folder, kRead | kExecute);
  // What the loader and -march=native look into.
  for (const char* file :
       {"/etc/ld.so.cache", "/etc/ld.so.preload", "/proc/cpuinfo", "/proc/meminfo", "/sys/devices/system/cpu", "/dev/urandom"})
    Allow(ruleset, file, kRead);
  Allow(ruleset, "/dev/null", LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE);
  Allow(ruleset, ".", kEverything);
  while (*readable != 0) {
    const char* end = std::strchr(readable, ':');
    const std::string folder = end != nullptr ? std::string(readable, end) : std::string(readable);
    Allow(ruleset, folder.c_str(), kRead | kExecute);
    readable += folder.size() + (end != nullptr ? 1 : 0);
  }
  ::syscall(kRestrictSelf, ruleset, 0);
  ::close(ruleset);
}

}  // namespace

bool ConfineCompiler(const char* sandbox) {
  if (std::strcmp(sandbox, "-") == 0) return true;
  char* after = nullptr;
  const auto uid = static_cast<uid_t>(std::strtoul(sandbox, &after, 10));
  const auto gid = static_cast<gid_t>(*after == ':' ? std::strtoul(after + 1, &after, 10) : 0);
  if (*after == ':') ++after;
  (void)::unshare(CLONE_NEWNET);  // for root; a compiler that stays on the network has nothing to send there by itself
  if (uid != 0 && ::geteuid() == 0 &&
      (::setgroups(0, nullptr) != 0 || ::setresgid(gid, gid, gid) != 0 || ::setresuid(uid, uid, uid) != 0)) {
    std::fprintf(stderr, "run the compiler as user %u: %s\n", uid, std::strerror(errno));
    return false;
  }
  ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  if (HasLandlock()) RestrictFiles(after);
  return true;
}

const char* CompilerSandbox(uint32_t uid) {
  const bool root = ::geteuid() == 0, changes = root && uid != 0, restricts = HasLandlock();
  if (changes) return restricts ? "other_user,network_namespace,landlock" : "other_user,network_namespace";
  if (root) return restricts ? "network_namespace,landlock" : "network_namespace";
  return restricts ? "landlock" : "none";
}

}  // namespace lathe::worker
