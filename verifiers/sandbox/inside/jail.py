"""The protections around a run, as system calls. Runs in the warm process and in its children.

It uses ctypes and the package landlock.

The warm process sets up once: new namespaces, no network, and a read-only root folder that contains an interpreter and its
libraries and nothing else of this machine. Every child then adds its own protections before any untrusted code runs in it.
"""

import ctypes
import math
import os
import platform
import resource
import secrets
import signal
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from . import script

NEWNS, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET = 0x20000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000
NEWCGROUP, NEWTIME = 0x2000000, 0x80
_RDONLY, _NOSUID, _NODEV, _NOEXEC, _REMOUNT, _BIND, _REC, _PRIVATE = 1, 2, 4, 8, 32, 4096, 16384, 1 << 18
_DETACH = 2
PDEATHSIG = 1
_DUMPABLE, _SECCOMP, _NO_NEW_PRIVS = 4, 22, 38
_CLONE, _PIVOT_ROOT = {"x86_64": (56, 155), "aarch64": (220, 41)}.get(platform.machine(), (-1, -1))

NOBODY = 65_534
"""Id of the user nobody."""
_RUN_IDS = range(0x7000_0000, 0x7FFD_0000)
"""Ids that no system assigns to a user, a service or a container."""
_MIN_IDS = 1000
"""With fewer ids than this, runs cannot each have a user of their own."""
WORK = "/tmp"
"""A run's own folder. It is empty at the start and deleted at the end."""
PACKAGES = "/packages"
"""Where a run finds the packages that it may import. Their original paths might be inside WORK."""
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
"""The harmless devices. Without a new root folder a run may write only to the first three."""
SYSTEM = ("/usr", "/lib", "/lib64", "/lib32", "/bin", "/sbin", "/etc/ld.so.cache", "/etc/alternatives")
"""Files and folders of the machine that every run can read."""

Rules = tuple[Any, list[tuple[Any, Sequence[str]]]]
"""Landlock's rules: the kinds of access that are restricted, and for each allowed kind the paths."""

_libc = ctypes.CDLL(None, use_errno=True)
_gil_libc = ctypes.PyDLL(None, use_errno=True)  # calls keep the interpreter lock, because a forked child must hold it


def _check(result: int, what: str) -> int:
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{what}: {os.strerror(error)}")
    return result


def fork(flags: int) -> int:
    """Forks into new namespaces. Returns 0 in the child and its process id in the parent."""
    ctypes.pythonapi.PyOS_BeforeFork()
    pid = _gil_libc.syscall(_CLONE, flags | signal.SIGCHLD, 0, 0, 0, 0)
    (ctypes.pythonapi.PyOS_AfterFork_Child if pid == 0 else ctypes.pythonapi.PyOS_AfterFork_Parent)()
    return _check(pid, "clone")


def unshare(flags: int) -> None:
    """Moves this process into new namespaces. In a new user namespace it has every capability, and its user is nobody."""
    user, group = os.geteuid(), os.getegid()
    _check(_libc.unshare(flags), "unshare")
    if flags & NEWUSER:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{NOBODY} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{NOBODY} {group} 1")


def assignable_users() -> range | None:
    """Returns the user ids that this process may give to runs; None if it cannot change its user."""
    if os.geteuid() != 0:
        return None
    common = range(2**32)
    for name in ("uid_map", "gid_map"):
        extents = [list(map(int, line.split())) for line in Path(f"/proc/self/{name}").read_text().splitlines()]
        first, _, count = max(extents, key=lambda extent: extent[2], default=(0, 0, 0))
        common = range(max(common.start, first), min(common.stop, first + count))
    if len(common) < _MIN_IDS:
        return None
    best = range(max(common.start, _RUN_IDS.start), min(common.stop, _RUN_IDS.stop))
    return best if len(best) >= _MIN_IDS else common[len(common) // 2 :]


def random_user(allowed: range, taken: Collection[int | None]) -> int:
    """Returns a random id that is not taken. A run cannot infer from it how many runs there were before."""
    while (user := allowed[secrets.randbelow(len(allowed))]) in taken:
        pass
    return user


class Networks:
    """Network namespaces without an interface. One run at a time uses each, because abstract sockets are visible in it."""

    def __init__(self) -> None:
        """Opens the folder in /proc, because the process will leave /proc."""
        self.folder = os.open("/proc/self/ns", os.O_RDONLY | os.O_DIRECTORY)

    def make(self) -> int:
        """Moves this process into a new network namespace and returns the namespace's descriptor."""
        unshare(NEWNET)
        return os.open("net", os.O_RDONLY, dir_fd=self.folder)

    def enter(self, network: int) -> None:
        """Moves this process into the namespace; children that it forks afterwards are in it, too."""
        _check(_libc.setns(network, NEWNET), "setns")


def enter_root(readable: Sequence[str], packages: Sequence[str], hidden: Sequence[str], processes: bool) -> None:
    """Makes a root folder of read-only views and the harmless devices, enters it and detaches the old root folder.

    Needs a mount namespace of its own.

    Args:
        readable: files and folders that stay visible at their paths.
        packages: folders that become visible in PACKAGES.
        hidden: folders inside `readable` and SYSTEM that become empty.
        processes: show /proc. It is that of this process's namespace until a child mounts its own over it.
    """
    mount(None, "/", None, _REC | _PRIVATE)
    new = "/sys"  # can be any folder that contains none of the paths to show; only this mount namespace is changed
    mount("tmpfs", new, "tmpfs", _NOSUID | _NODEV, "size=1m,mode=755")
    for path in (*SYSTEM, *readable):
        source, target = Path(path), Path(new + path)
        if os.path.lexists(target):  # inside a folder that is already visible
            continue
        if source.is_symlink():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(source.readlink())
        elif source.exists():
            _show(source, target, _NODEV)
    for path in hidden:
        if Path(new + path).is_dir():
            mount("tmpfs", new + path, "tmpfs", _RDONLY | _NOSUID | _NODEV | _NOEXEC, "size=4k,mode=755")
    for path in packages:
        _show(Path(path), Path(f"{new}{PACKAGES}/{Path(path).name}"), _NODEV)
    for path in DEVICES:
        _show(Path(path), Path(new + path), 0)
    Path(new + WORK).mkdir(exist_ok=True)
    if processes:
        Path(new + "/proc").mkdir()
        mount("/proc", new + "/proc", None, _BIND | _REC)  # a user namespace may mount a new /proc only if one is visible
        for name, link in {"fd": "fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2"}.items():
            Path(f"{new}/dev/{name}").symlink_to(f"/proc/self/{link}")
        Path(new + "/dev/shm").symlink_to(WORK)
    else:
        Path(new + "/dev/fd").mkdir()
        for path in ("/dev/stdin", "/dev/fd/0"):
            Path(new + path).symlink_to(f"{WORK}/{script.STDIN}")
    old = Path(new + "/old")
    old.mkdir()
    _check(_libc.syscall(_PIVOT_ROOT, new.encode(), str(old).encode()), "pivot_root")
    os.chdir("/")
    _check(_libc.umount2(b"/old", _DETACH), "umount")
    Path("/old").rmdir()
    mount(None, "/", None, _REMOUNT | _BIND | _RDONLY | _NOSUID | _NODEV)


def _show(source: Path, target: Path, flags: int) -> None:
    """Makes a read-only view of a file or folder. The flags of its original mount must be kept: they cannot be removed."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        target.mkdir()
    else:
        target.touch()
    mount(str(source), str(target), None, _BIND)
    kept = os.statvfs(source).f_flag & (_NOSUID | _NODEV | 8 | 1024 | 2048)  # noexec, noatime, nodiratime
    mount(None, str(target), None, _REMOUNT | _BIND | _RDONLY | _NOSUID | flags | kept)


def mount(source: str | None, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    """Calls mount(2).

    Args:
        source: the device or folder to mount; None if the call needs none.
        target: where to mount it.
        kind: type of the file system; None if the call needs none.
        flags: the MS_ flags.
        data: options of the file system.
    """
    names = [None if text is None else text.encode() for text in (source, target, kind, data)]
    _check(_libc.mount(names[0], names[1], names[2], ctypes.c_ulong(flags), names[3]), f"mount {target}")


def fresh_work_folder(size: int) -> None:
    """Mounts a tmpfs of `size` bytes at WORK and enters it. Needs a mount namespace of its own."""
    mount("tmpfs", WORK, "tmpfs", _NOSUID | _NODEV, f"size={size},mode=777,nr_inodes=4096")
    os.chdir(WORK)


def show_processes() -> None:
    """Mounts a /proc of this process's own process and control group namespaces. Needs a mount namespace of its own."""
    unshare(NEWCGROUP)
    mount("proc", "/proc", "proc", _NOSUID | _NODEV | _NOEXEC)


def set_limits(limits: dict[str, Any], mapped: int | None, group: bool, own_user: bool) -> None:
    """Sets the resource limits of each process of the run.

    The kernel's limit on processor time has whole seconds. The supervisor enforces the exact limit if a control group counts
    the time.

    Args:
        limits: the fields of `protocol.Limits`.
        mapped: bytes of address space of the warm process, which come on top of the memory limit. None for commands of any
            kind, some of which reserve much more address space than they use.
        group: a control group limits the memory and processes of the run as a whole. Without one, the run may have one process
            only.
        own_user: no other process has the run's user. Otherwise the kernel would count the processes of other runs as well, so
            only the control group limits their number.
    """
    cpu = math.ceil(limits["cpu_seconds"])
    resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu + 1))  # first SIGXCPU, which names the cause; SIGKILL if it is ignored
    for kind, maximum in (
        (resource.RLIMIT_AS, None if mapped is None else mapped + limits["memory"]),
        (resource.RLIMIT_FSIZE, limits["disk"]),
        (resource.RLIMIT_NOFILE, 64 if mapped is not None else 256),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_MEMLOCK, 0),
        (resource.RLIMIT_MSGQUEUE, 0),
        (resource.RLIMIT_SIGPENDING, 64),
        (resource.RLIMIT_NPROC, 1 if not group else limits["processes"] if own_user else None),
    ):
        current = resource.getrlimit(kind)[1]
        if maximum is not None and (current == resource.RLIM_INFINITY or maximum < current):
            resource.setrlimit(kind, (maximum, maximum))
        elif current != resource.RLIM_INFINITY:  # a plain user cannot raise its hard limit
            resource.setrlimit(kind, (current, current))


def drop_privileges(user: int | None) -> None:
    """Changes to `user` if it is given, and gives up every capability for good."""
    if user is not None:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)  # this clears root's capabilities, unless our parent process has disabled that
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    _check(_libc.capset(header, (ctypes.c_uint32 * 6)()), "capset")
    _check(_libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
    _check(_libc.prctl(_DUMPABLE, 0, 0, 0, 0), "dumpable")
    die_with_parent()


def die_with_parent() -> None:
    """Makes the kernel kill this process when its parent ends. A change of user clears this setting."""
    _check(_libc.prctl(PDEATHSIG, signal.SIGKILL, 0, 0, 0), "pdeathsig")


def file_rules(devices: Sequence[str]) -> Rules:
    """Returns Landlock's rules: every visible file can be read; only `devices` and WORK can be written.

    Called once, in the warm process, because the package is slow to make its flags and calls, and every child would repeat
    that.
    """
    import landlock
    from landlock import plumbing

    for call in (plumbing.get_create_ruleset, plumbing.get_add_rule, plumbing.get_prctl, plumbing.get_restrict_self):
        call()
    access, restricted = landlock.FSAccess, landlock.FSAccess.all()
    return restricted, [
        (access.EXECUTE | access.READ_FILE | access.READ_DIR, ["/"]),
        (access.READ_FILE | access.WRITE_FILE, devices),
        (restricted & ~(access.MAKE_CHAR | access.MAKE_BLOCK), [WORK]),
    ]


def restrict_files(rules: Rules) -> None:
    """Applies Landlock's rules to this process. WORK must be mounted before."""
    import landlock

    ctypes.set_errno(0)  # the package would take an earlier error for its own
    restricted, allowed = rules
    ruleset = landlock.Ruleset(restricted)
    for access, paths in allowed:
        ruleset.allow(*paths, rules=access)
    ruleset.apply()


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def restrict_system_calls(program: bytes) -> None:
    """Installs a compiled seccomp filter (see `system_calls.py`)."""
    code = ctypes.create_string_buffer(program, len(program))
    compiled = _Program(len(program) // 8, ctypes.cast(code, ctypes.c_void_p))
    _check(_libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")  # the kernel requires it of every user but root
    _check(_libc.prctl(_SECCOMP, 2, ctypes.byref(compiled), 0, 0), "seccomp")
