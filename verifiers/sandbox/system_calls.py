"""The system calls that a run is refused, compiled with libseccomp in the supervisor and handed to the warm process.

The warm process takes the filter on itself, and its children have it from birth: to install one takes a twentieth of a short
run. So it must allow what a child needs until its walls stand: `mount`, and namespaces but those of users. A run has no right
to them: it has no capability, and can get none, for a user namespace, in which it would have all, is refused to everybody.

Locks on files are granted without being taken. What a run can read of this machine's files it shares with other runs and with
the machine's own programs: a lock would hold them up, or tell them something. A program that locks its own file is told it has.
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
    "what others do with files": "inotify_add_watch fanotify_init fanotify_mark cachestat",
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


_F_SETLK, _F_SETLKW, _F_OFD_SETLK, _F_OFD_SETLKW, _F_SETLEASE, _F_NOTIFY = 6, 7, 37, 38, 1024, 1026


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
    for flag in (NEWUSER, NEWNS, NEWPID, NEWIPC, NEWUTS, NEWTIME):
        rules.add_rule(seccomp.ERRNO(errno.EPERM), "unshare", seccomp.Arg(0, seccomp.MASKED_EQ, flag, flag))
    rules.add_rule(seccomp.ERRNO(errno.EPERM), "setns", seccomp.Arg(1, seccomp.NE, NEWNET))
    # Nobody gets rid of the signal that comes when the warm process dies.
    rules.add_rule(
        seccomp.ERRNO(errno.EPERM), "prctl", seccomp.Arg(0, seccomp.EQ, PDEATHSIG), seccomp.Arg(1, seccomp.NE, signal.SIGKILL)
    )
    rules.add_rule(seccomp.ERRNO(0), "flock")
    for command in (_F_SETLK, _F_SETLKW, _F_OFD_SETLK, _F_OFD_SETLKW):
        rules.add_rule(seccomp.ERRNO(0), "fcntl", seccomp.Arg(1, seccomp.EQ, command))
    for command in (_F_SETLEASE, _F_NOTIFY):
        rules.add_rule(seccomp.ERRNO(errno.EPERM), "fcntl", seccomp.Arg(1, seccomp.EQ, command))
    # Sockets between a run's own processes, and no others.
    rules.add_rule(seccomp.ERRNO(errno.EACCES), "socket", seccomp.Arg(0, seccomp.NE, 1))
    with tempfile.TemporaryFile() as file:
        rules.export_bpf(file)
        file.seek(0)
        return file.read()
