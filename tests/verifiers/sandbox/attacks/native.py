"""Each piece of C is an expression that is true if it reached something outside of its run. `programs.py` runs them."""

HEADERS = """
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <sys/types.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long room[64];

static int opens(const char *path, int how) { int file = open(path, how); if (file >= 0) close(file); return file >= 0; }

static int joins(const char *path, int kind) { int file = open(path, O_RDONLY); return file >= 0 && setns(file, kind) == 0; }

static int lifts(int kind) {
  struct rlimit now, more;
  if (getrlimit((__rlimit_resource_t)kind, &now) || now.rlim_max == RLIM_INFINITY) return 0;
  more.rlim_cur = more.rlim_max = now.rlim_max + 1;
  return setrlimit((__rlimit_resource_t)kind, &more) == 0;
}

static int clones(unsigned long flags) {
  long pid = syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0);
  if (pid == 0) _exit(0);
  return pid > 0;
}

static int meets(int kind) {
  struct sockaddr_un name;
  int one = socket(AF_UNIX, kind, 0);
  memset(&name, 0, sizeof name);
  name.sun_family = AF_UNIX;
  strcpy(name.sun_path + 1, "tenfold-attack-PORT");
  return connect(one, (struct sockaddr *)&name, offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name.sun_path + 1)) == 0;
}

static int has_descriptor(void) {
  for (int one = 3; one < 4096; one++) if (fcntl(one, F_GETFD) >= 0) return 1;
  return 0;
}

static int has_folder(void) {
  for (int one = 0; one < 4096; one++)
    if (openat(one, ".", O_RDONLY) >= 0 || openat(one, "cgroup.procs", O_WRONLY) >= 0) return 1;
  return 0;
}

static int takes_a_descriptor(void) {
  long process = syscall(434, 1, 0);
  for (int one = 0; one < 64; one++) if (process >= 0 && syscall(438, process, one, 0) >= 0) return 1;
  return 0;
}

static int gets_capabilities(void) {
  struct { uint32_t version; int pid; } header = {0x20080522, 0};
  uint32_t all[6] = {~0u, ~0u, ~0u, ~0u, ~0u, ~0u};
  return syscall(SYS_capset, &header, all) == 0;
}

static int has_capabilities(void) {
  struct { uint32_t version; int pid; } header = {0x20080522, 0};
  uint32_t all[6] = {0};
  return syscall(SYS_capget, &header, all) != 0 || all[0] | all[1] | all[2] | all[3] | all[4] | all[5];
}

static int sets_the_clock(void) { struct timespec when = {1, 0}; return clock_settime(CLOCK_REALTIME, &when) == 0; }

static int turns_the_clock(void) {
  struct timex how;
  memset(&how, 0, sizeof how);
  how.modes = ADJ_FREQUENCY;
  return adjtimex(&how) >= 0;
}

static int in_real_time(void) { struct sched_param how = {1}; return sched_setscheduler(0, SCHED_FIFO, &how) == 0; }

static int lifts_the_firsts(void) {
  struct rlimit more = {4096, 4096};
  return prlimit(1, RLIMIT_NOFILE, &more, 0) == 0;
}
"""

ESCAPES = {
    "become root": "setresuid(0, 0, 0) == 0 || setuid(0) == 0",
    "be root": "geteuid() == 0 || getuid() == 0 || getegid() == 0",
    "become another user": "setresuid(1, 1, 1) == 0 || setresuid(1000, 1000, 1000) == 0",
    "become root's group": "setresgid(0, 0, 0) == 0",
    "join a group": "syscall(SYS_setgroups, 1, room) == 0",
    "have capabilities": "has_capabilities()",
    "get capabilities": "gets_capabilities()",
    "keep capabilities for others": "prctl(47, 2, 21, 0, 0) == 0",
    "lift what makes it unprivileged": "prctl(PR_SET_SECUREBITS, 0, 0, 0, 0) == 0 || "
    "prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0",
    "lift the filter": "prctl(PR_SET_SECCOMP, 0, 0, 0, 0) == 0 || prctl(PR_GET_SECCOMP) == 0",
    "outlive the warm process": "prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0) == 0 || prctl(PR_SET_PDEATHSIG, SIGCONT, 0, 0, 0) == 0",
    "outlive it by 64 bits": "syscall(SYS_prctl, PR_SET_PDEATHSIG | 1L << 32, 0L, 0L, 0L, 0L) == 0",
    "make a user namespace": "unshare(CLONE_NEWUSER) == 0",
    "make a mount namespace": "unshare(CLONE_NEWNS) == 0",
    "make a process namespace": "unshare(CLONE_NEWPID) == 0",
    "make a network namespace": "unshare(CLONE_NEWNET) == 0",
    "make a control group namespace": "unshare(CLONE_NEWCGROUP) == 0",
    "make a namespace of clocks": "unshare(0x80) == 0",
    "make all namespaces at once": "unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET) == 0",
    "clone into a user namespace": "clones(CLONE_NEWUSER) || clones(CLONE_NEWUSER | CLONE_NEWNS)",
    "clone into other namespaces": "clones(CLONE_NEWNS) || clones(CLONE_NEWNET) || clones(CLONE_NEWPID) || "
    "clones(CLONE_NEWIPC)",
    "clone by the newer call": "syscall(435, room, 64) >= 0",
    "join its own network again": 'joins("/proc/self/ns/net", CLONE_NEWNET)',
    "join the first process's namespaces": 'joins("/proc/1/ns/net", 0) || joins("/proc/1/ns/mnt", 0) || '
    'joins("/proc/1/ns/user", 0)',
    "join by a process": "setns((int)syscall(434, 1, 0), CLONE_NEWNS | CLONE_NEWNET) == 0",
    "mount a file system": 'mount("tmpfs", "/tmp", "tmpfs", 0, 0) == 0 || mount("proc", "/tmp", "proc", 0, 0) == 0',
    "mount the control groups": 'mount("none", "/tmp", "cgroup2", 0, 0) == 0 || '
    'mount("none", "/tmp", "cgroup", 0, "pids") == 0',
    "mount a view": 'mount("/usr", "/tmp", 0, MS_BIND, 0) == 0',
    "make the root writable": 'mount(0, "/", 0, MS_REMOUNT | MS_BIND, 0) == 0',
    "move a mount": 'mount("/proc", "/tmp", 0, MS_MOVE, 0) == 0 || syscall(429, -100, "/proc", -100, "/tmp", 0) == 0',
    "take a mount away": 'umount2("/proc", MNT_DETACH) == 0 || umount2("/tmp", MNT_DETACH) == 0',
    "mount by the newer calls": 'syscall(430, "tmpfs", 0) >= 0 || syscall(428, -100, "/", 1) >= 0 || '
    'syscall(433, -100, "/", 0) >= 0',
    "list the mounts": "syscall(458, room, room, 32, 0) >= 0 || syscall(457, room, room, 64, 0) >= 0",
    "change its root": 'chroot("/tmp") == 0 || syscall(SYS_pivot_root, ".", ".") == 0',
    "open a file by its number": "syscall(SYS_open_by_handle_at, 0, room, 0) >= 0 || "
    'syscall(SYS_name_to_handle_at, -100, "/", room, room, 0) >= 0',
    "trace the first process": "ptrace(PTRACE_ATTACH, 1, 0, 0) == 0 || ptrace(PTRACE_SEIZE, 1, 0, 0) == 0",
    "be traced": "ptrace(PTRACE_TRACEME, 0, 0, 0) == 0",
    "read another's memory": "syscall(SYS_process_vm_readv, 1, room, 1, room, 1, 0) >= 0",
    "write another's memory": "syscall(SYS_process_vm_writev, 1, room, 1, room, 1, 0) >= 0",
    "open another's memory": 'opens("/proc/1/mem", O_RDWR) || opens("/proc/1/environ", O_RDONLY)',
    "compare itself with another": "syscall(SYS_kcmp, 1, getpid(), 0, 0, 0) >= 0",
    "take another's descriptor": "takes_a_descriptor()",
    "have a descriptor of tenfold": "has_descriptor()",
    "have a folder for a descriptor": "has_folder()",
    "connect by IPv4": "socket(AF_INET, SOCK_STREAM, 0) >= 0 || socket(AF_INET, SOCK_DGRAM, 0) >= 0",
    "connect by IPv6": "socket(AF_INET6, SOCK_STREAM, 0) >= 0",
    "open a raw socket": "socket(AF_INET, SOCK_RAW, 1) >= 0 || socket(AF_PACKET, SOCK_RAW, 0) >= 0",
    "talk to the kernel": "socket(AF_NETLINK, SOCK_RAW, 0) >= 0 || socket(AF_ALG, SOCK_SEQPACKET, 0) >= 0",
    "talk to the hypervisor": "socket(AF_VSOCK, SOCK_STREAM, 0) >= 0",
    "meet a server of this machine": "meets(SOCK_STREAM) || meets(SOCK_DGRAM) || meets(SOCK_SEQPACKET)",
    "lift the limit on processor time": "lifts(RLIMIT_CPU)",
    "lift the limit on files' sizes": "lifts(RLIMIT_FSIZE)",
    "lift the limit on descriptors": "lifts(RLIMIT_NOFILE)",
    "lift the limit on cores": "lifts(RLIMIT_CORE)",
    "lift the limit on processes": "lifts(RLIMIT_NPROC)",
    "lift the limit on locked memory": "lifts(RLIMIT_MEMLOCK) || mlockall(MCL_FUTURE) == 0",
    "lift the limit on signals": "lifts(RLIMIT_SIGPENDING)",
    "lift the limit on messages": "lifts(RLIMIT_MSGQUEUE)",
    "lift the limits of the first process": "lifts_the_firsts()",
    "have memory that nobody counts": 'syscall(319, "x", 0) >= 0 || syscall(447, 0) >= 0',
    "share memory": "syscall(SYS_shmget, 7, 4096, 01666) >= 0 || syscall(SYS_semget, 7, 1, 01666) >= 0",
    "send messages": 'syscall(SYS_msgget, 7, 01666) >= 0 || syscall(SYS_mq_open, "x", O_CREAT | O_RDWR, 0666, 0) >= 0',
    "use the kernel's keys": 'syscall(SYS_keyctl, 0, -3, 0, 0, 0) >= 0 || syscall(SYS_add_key, "user", "x", "x", 1, -3) >= 0',
    "ask for a key": 'syscall(SYS_request_key, "user", "x", 0, 0) >= 0',
    "load a program into the kernel": "syscall(SYS_bpf, 0, room, 128) >= 0",
    "load a module": 'syscall(SYS_init_module, room, 8, "") == 0 || syscall(SYS_finit_module, 0, "", 0) == 0',
    "handle page faults": "syscall(SYS_userfaultfd, 0) >= 0 || syscall(SYS_userfaultfd, 1) >= 0",
    "go around by io_uring": "syscall(425, 4, room) >= 0",
    "count events of the machine": "syscall(SYS_perf_event_open, room, 0, -1, -1, 0) >= 0",
    "start another kernel": "syscall(SYS_kexec_load, 0, 0, 0, 0) == 0 || syscall(SYS_reboot, 0xfee1dead, 672274793, 0, 0) == 0",
    "read the kernel's log": "syscall(SYS_syslog, 3, room, 64) >= 0",
    "reach the ports": "syscall(SYS_iopl, 3) == 0 || syscall(SYS_ioperm, 0x80, 1, 1) == 0",
    "change its segments": "syscall(SYS_modify_ldt, 0, room, 64) >= 0",
    "run as for another machine": "syscall(SYS_personality, 0x0400000) >= 0",
    "swap": 'syscall(SYS_swapon, "/tmp", 0) == 0 || syscall(SYS_quotactl, 0, 0, 0, 0) == 0',
    "keep accounts": 'syscall(SYS_acct, "/tmp/x") == 0 || syscall(SYS_vhangup) == 0',
    "set the machine's name": 'sethostname("owned", 5) == 0 || setdomainname("owned", 5) == 0',
    "set the clock": "sets_the_clock() || turns_the_clock()",
    "run in real time": "in_real_time()",
    "come before others": "setpriority(PRIO_PROCESS, 0, -5) == 0 || setpriority(PRIO_PROCESS, 0, 5) == 0",
    "read and write before others": "syscall(SYS_ioprio_set, 1, 0, (1 << 13)) == 0",
    "move another's memory": "syscall(SYS_move_pages, 1, 0, 0, 0, 0, 0) >= 0 || "
    "syscall(SYS_migrate_pages, 1, 64, room, room) >= 0",
    "choose where memory lies": "syscall(SYS_set_mempolicy, 0, 0, 0) == 0 || syscall(SYS_mbind, room, 4096, 0, 0, 0, 0) == 0",
    "watch who opens a file": 'syscall(SYS_inotify_add_watch, syscall(SYS_inotify_init1, 0), "/usr/bin/true", 0xfff) >= 0',
    "watch a whole file system": "syscall(SYS_fanotify_init, 0, 0) >= 0",
    "hold a file up": 'fcntl(open("/usr/bin/true", O_RDONLY), F_SETLEASE, F_RDLCK) == 0',
    "be told of a folder": 'fcntl(open("/usr/bin", O_RDONLY), F_NOTIFY, DN_ACCESS) == 0',
    "be told of it by 64 bits": 'syscall(SYS_fcntl, open("/usr/bin", O_RDONLY), F_NOTIFY | 1L << 32, DN_ACCESS) == 0',
    "make a device": 'mknod("/tmp/null", S_IFCHR | 0666, 0x103) == 0 || mknod("/tmp/disk", S_IFBLK | 0666, 0xfe00) == 0',
    "type at a terminal": 'ioctl(0, TIOCSTI, "x") == 0 || opens("/dev/tty", O_RDWR) || opens("/dev/ptmx", O_RDWR)',
    "write where programs are kept": 'opens("/usr/bin/true", O_WRONLY) || open("/usr/owned", O_WRONLY | O_CREAT, 0666) >= 0',
    "truncate a file of the machine": 'truncate("/usr/bin/true", 0) == 0 || unlink("/usr/bin/true") == 0 || '
    'chmod("/usr/bin/true", 0777) == 0',
    "date a file of the machine's": 'utimensat(AT_FDCWD, "/usr/bin/true", 0, 0) == 0',
    "link a file of the machine's": 'link("/usr/bin/true", "/tmp/true") == 0 || rename("/usr/bin/true", "/usr/bin/false") == 0',
    "reach the kernel's memory": 'opens("/proc/kcore", O_RDONLY) || opens("/dev/mem", O_RDWR) || opens("/dev/kmsg", O_RDONLY)',
    "read a secret file": 'opens("SECRET", O_RDONLY) || opens("/proc/1/root/SECRET", O_RDONLY)',
    "see the control groups": 'opens("/sys/fs/cgroup", O_RDONLY) || opens("/sys", O_RDONLY)',
    "signal a process of this machine": "kill(SUPERVISOR, 0) == 0",
}
"""SECRET is a file of this machine, PORT that of a server on it, SUPERVISOR the process that judges."""
