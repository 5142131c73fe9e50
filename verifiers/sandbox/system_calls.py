"""The system calls that a run is refused, compiled with libseccomp in the supervisor and handed to the warm process.

The warm process takes the filter on itself, and its children have it from birth: to install one takes a twentieth of a short
run. So it must allow what a child needs until its walls stand, `mount` and `clone` into new namespaces. A run has no right to
them: it has no capability, and can get none, for a user namespace, in which it would have all, is refused to everybody.
"""

import errno
import functools
import tempfile

from ...core import UserError
from .jail import NEWUSER

REFUSED = {
    "other processes": "ptrace process_vm_readv process_vm_writev kcmp pidfd_getfd perf_event_open process_madvise",
    "namespaces, mounts, roots": "unshare setns umount2 pivot_root chroot fsopen fsconfig fsmount fspick move_mount "
    "open_tree mount_setattr open_by_handle_at name_to_handle_at quotactl quotactl_fd swapon swapoff",
    "the kernel itself": "bpf userfaultfd io_uring_setup io_uring_enter io_uring_register init_module finit_module "
    "delete_module kexec_load kexec_file_load reboot syslog acct settimeofday clock_settime clock_adjtime adjtimex iopl ioperm "
    "modify_ldt personality vhangup lookup_dcookie nfsservctl uselib",
    "keys": "add_key request_key keyctl",
    "memory that no limit on address space counts": "memfd_create memfd_secret shmget shmat shmctl semget semop semctl msgget "
    "msgsnd msgctl mq_open",
    "a share of the machine larger than others'": "sched_setscheduler sched_setparam sched_setattr setpriority ioprio_set "
    "mbind set_mempolicy migrate_pages move_pages",
}
"""Names of system calls, by what they would reach."""


@functools.cache
def compiled() -> bytes:
    """The filter as a BPF program. What it does not name is allowed.

    Raises:
        UserError: libseccomp is not installed.
    """
    try:
        import pyseccomp as seccomp
    except (ImportError, RuntimeError, OSError) as error:
        raise UserError(f"the sandbox wants libseccomp ({error}): install the system package libseccomp2") from None
    rules = seccomp.SyscallFilter(seccomp.ALLOW)
    for name in " ".join(REFUSED.values()).split():
        try:
            rules.add_rule(seccomp.ERRNO(errno.EPERM), name)
        except (OSError, ValueError):  # not a call of this machine's architecture
            continue
    # clone3 hides its flags from a filter: without it, programs fall back to clone, whose flags are looked at.
    rules.add_rule(seccomp.ERRNO(errno.ENOSYS), "clone3")
    rules.add_rule(seccomp.ERRNO(errno.EPERM), "clone", seccomp.Arg(0, seccomp.MASKED_EQ, NEWUSER, NEWUSER))
    # Sockets between a run's own processes, and no others.
    rules.add_rule(seccomp.ERRNO(errno.EACCES), "socket", seccomp.Arg(0, seccomp.NE, 1))
    with tempfile.TemporaryFile() as file:
        rules.export_bpf(file)
        file.seek(0)
        return file.read()
