"""The seccomp filter: the system calls that a run is denied. libseccomp compiles it in the supervisor, for the warm process.

The warm process installs the filter on itself, and its children inherit it, because an installation takes a twentieth of the
time of a short run. Therefore the filter must allow what a child needs to set up its other protections: `mount`, `clone` with
all new namespaces except user namespaces, `unshare` with a new network or control group namespace, and `setns` with a network
namespace. A run cannot use these calls, because it has no capability. It cannot get one either: it would have all capabilities
in a new user namespace, but the filter denies user namespaces to every process.

File locks are reported as taken, but no lock is taken. Other runs and the machine's own programs use the files that a run can
read: a real lock would block them or tell them something. A program that locks its own file sees a success.
"""

import errno
import functools
import signal
import tempfile

from ...core import UserError
from .inside.jail import NEWIPC, NEWNET, NEWNS, NEWPID, NEWTIME, NEWUSER, NEWUTS, PDEATHSIG

REFUSED = {
    "other processes": "ptrace process_vm_readv process_vm_writev kcmp pidfd_getfd perf_event_open process_madvise",
    "mounts, roots": "umount2 pivot_root chroot fsopen fsconfig fsmount fspick move_mount open_tree open_tree_attr "
    "mount_setattr statmount listmount open_by_handle_at name_to_handle_at quotactl quotactl_fd swapon swapoff",
    "file accesses of other processes": "inotify_add_watch fanotify_init fanotify_mark cachestat",
    "the kernel": "bpf userfaultfd io_uring_setup io_uring_enter io_uring_register init_module finit_module "
    "delete_module kexec_load kexec_file_load reboot syslog acct settimeofday clock_settime clock_adjtime adjtimex iopl ioperm "
    "modify_ldt personality vhangup lookup_dcookie nfsservctl uselib",
    "keys": "add_key request_key keyctl",
    "memory outside of the address space limit": "memfd_create memfd_secret shmget shmat shmctl semget semop semctl msgget "
    "msgsnd msgctl mq_open",
    "a larger share of the machine than others": "sched_setparam sched_setattr setpriority ioprio_set "
    "mbind set_mempolicy migrate_pages move_pages",
}
"""Names of denied system calls, grouped by what they affect."""


_F_SETLK, _F_SETLKW, _F_OFD_SETLK, _F_OFD_SETLKW, _F_SETLEASE, _F_NOTIFY = 6, 7, 37, 38, 1024, 1026


@functools.cache
def compiled() -> bytes:
    """Returns the filter as a BPF program. System calls that it does not name are allowed.

    Raises:
        UserError: libseccomp is not installed.
    """
    try:
        import pyseccomp as seccomp
    except (ImportError, RuntimeError, OSError) as error:
        raise UserError(f"the sandbox needs libseccomp ({error}): install the system package libseccomp2") from None
    rules = seccomp.SyscallFilter(seccomp.ALLOW)
    for name in " ".join(REFUSED.values()).split():
        try:
            rules.add_rule(seccomp.ERRNO(errno.EPERM), name)
        except (OSError, ValueError):  # this machine's architecture does not have the call
            continue
    # A filter cannot read clone3's flags. Without clone3, programs fall back to clone, whose flags are checked.
    rules.add_rule(seccomp.ERRNO(errno.ENOSYS), "clone3")
    rules.add_rule(seccomp.ERRNO(errno.EPERM), "clone", seccomp.Arg(0, seccomp.MASKED_EQ, NEWUSER, NEWUSER))
    for flag in (NEWUSER, NEWNS, NEWPID, NEWIPC, NEWUTS, NEWTIME):
        rules.add_rule(seccomp.ERRNO(errno.EPERM), "unshare", seccomp.Arg(0, seccomp.MASKED_EQ, flag, flag))
    rules.add_rule(seccomp.ERRNO(errno.EPERM), "setns", seccomp.Arg(1, seccomp.NE, NEWNET))

    def is_number(position: int, number: int) -> object:
        # The kernel ignores the upper half of these arguments, so the filter must ignore it, too.
        return seccomp.Arg(position, seccomp.MASKED_EQ, 0xFFFFFFFF, number)

    # A run must not clear the signal that kills it when the warm process dies.
    rules.add_rule(seccomp.ERRNO(errno.EPERM), "prctl", is_number(0, PDEATHSIG), seccomp.Arg(1, seccomp.NE, signal.SIGKILL))
    # The ordinary policy, 0, is what every run has. Mono sets it for each thread, and prints a warning if that fails.
    rules.add_rule(seccomp.ERRNO(errno.EPERM), "sched_setscheduler", seccomp.Arg(1, seccomp.NE, 0))
    rules.add_rule(seccomp.ERRNO(0), "flock")
    for command in (_F_SETLK, _F_SETLKW, _F_OFD_SETLK, _F_OFD_SETLKW):
        rules.add_rule(seccomp.ERRNO(0), "fcntl", is_number(1, command))
    for command in (_F_SETLEASE, _F_NOTIFY):
        rules.add_rule(seccomp.ERRNO(errno.EPERM), "fcntl", is_number(1, command))
    # Only Unix sockets are allowed (domain 1). They connect a run's own processes.
    rules.add_rule(seccomp.ERRNO(errno.EACCES), "socket", seccomp.Arg(0, seccomp.NE, 1))
    with tempfile.TemporaryFile() as file:
        rules.export_bpf(file)
        file.seek(0)
        return file.read()
