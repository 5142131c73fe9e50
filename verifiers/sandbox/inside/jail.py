"""The walls around a run, as system calls. Runs in the warm process and in its children; needs nothing but ctypes.

The warm process builds its world once: namespaces of its own, no network, a root folder that holds an interpreter and its
libraries, read-only, and nothing else of this machine. Every child then adds its own walls before any foreign code runs in it.
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
_NOBODYS = range(0x7000_0000, 0x7FFD_0000)
"""Ids that no system gives to a user, a service or a container."""
_FEW = 1000
"""A process that may become fewer users than these cannot give each run one of its own."""
WORK = "/tmp"
"""A run's own folder, empty at its start, gone at its end."""
PACKAGES = "/packages"
"""Where a run finds what it may import beside the standard library: a view at its own place might lie in WORK."""
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
SYSTEM = ("/usr", "/lib", "/lib64", "/lib32", "/bin", "/sbin", "/etc/ld.so.cache", "/etc/alternatives")

_libc = ctypes.CDLL(None, use_errno=True)
_holding = ctypes.PyDLL(None, use_errno=True)  # keeps the interpreter's lock: a child must come out holding it


def _check(result: int, what: str) -> int:
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{what}: {os.strerror(error)}")
    return result


def fork(flags: int) -> int:
    """Forks into new namespaces; 0 in the child, its process id in the parent."""
    ctypes.pythonapi.PyOS_BeforeFork()
    pid = _holding.syscall(_CLONE, flags | signal.SIGCHLD, 0, 0, 0, 0)
    (ctypes.pythonapi.PyOS_AfterFork_Child if pid == 0 else ctypes.pythonapi.PyOS_AfterFork_Parent)()
    return _check(pid, "clone")


def unshare(flags: int) -> None:
    """Moves this process into new namespaces. In a new user namespace it has every capability, and is called nobody."""
    user, group = os.geteuid(), os.getegid()
    _check(_libc.unshare(flags), "unshare")
    if flags & NEWUSER:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{NOBODY} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{NOBODY} {group} 1")


def users() -> range | None:
    """Ids of users that this process may give to runs; None where it may only be whom it is."""
    if os.geteuid() != 0:
        return None
    common = range(2**32)
    for name in ("uid_map", "gid_map"):
        extents = [list(map(int, line.split())) for line in Path(f"/proc/self/{name}").read_text().splitlines()]
        first, _, count = max(extents, key=lambda extent: extent[2], default=(0, 0, 0))
        common = range(max(common.start, first), min(common.stop, first + count))
    if len(common) < _FEW:
        return None
    best = range(max(common.start, _NOBODYS.start), min(common.stop, _NOBODYS.stop))
    return best if len(best) >= _FEW else common[len(common) // 2 :]


def some_user(allowed: range, taken: Collection[int | None]) -> int:
    """One of these ids by chance, and none that is taken: a run learns nothing from its own of the runs before."""
    while (user := allowed[secrets.randbelow(len(allowed))]) in taken:
        pass
    return user


class Networks:
    """Network namespaces without an interface. Each is one run's at a time: sockets with abstract names meet in them."""

    def __init__(self) -> None:
        """Keeps hold of /proc, which the process is about to leave."""
        self.folder = os.open("/proc/self/ns", os.O_RDONLY | os.O_DIRECTORY)

    def make(self) -> int:
        """Moves this process into a new one; its descriptor."""
        unshare(NEWNET)
        return os.open("net", os.O_RDONLY, dir_fd=self.folder)

    def enter(self, network: int) -> None:
        """Moves this process, and with it the children that it then makes."""
        _check(_libc.setns(network, NEWNET), "setns")


def enter_root(readable: Sequence[str], packages: Sequence[str], hidden: Sequence[str], processes: bool) -> None:
    """Makes a root folder out of read-only views and the harmless devices, and leaves the old one behind.

    Args:
        readable: files and folders that keep their places.
        packages: those that are shown in PACKAGES.
        hidden: folders in what is readable that are shown empty.
        processes: whether there is a /proc; of this process's own namespace until a child mounts its own over it.

    Needs a mount namespace of its own.
    """
    mount(None, "/", None, _REC | _PRIVATE)
    new = "/sys"  # any folder that nothing readable lies in; the old world keeps its own
    mount("tmpfs", new, "tmpfs", _NOSUID | _NODEV, "size=1m,mode=755")
    for path in (*SYSTEM, *readable):
        source, target = Path(path), Path(new + path)
        if source.is_symlink():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(source.readlink())
        elif source.exists() and not target.exists():
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
        mount("/proc", new + "/proc", None, _BIND | _REC)  # where it is in sight, a user namespace may have another
        for name, shown in {"fd": "fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2"}.items():
            Path(f"{new}/dev/{name}").symlink_to(f"/proc/self/{shown}")
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
    """A read-only view of a file or folder. Flags of the mount it comes from cannot be taken off, so they are kept."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        target.mkdir()
    else:
        target.touch()
    mount(str(source), str(target), None, _BIND)
    kept = os.statvfs(source).f_flag & (_NOSUID | _NODEV | 8 | 1024 | 2048)  # noexec, noatime, nodiratime
    mount(None, str(target), None, _REMOUNT | _BIND | _RDONLY | _NOSUID | flags | kept)


def mount(source: str | None, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    """mount(2)."""
    names = [None if text is None else text.encode() for text in (source, target, kind, data)]
    _check(_libc.mount(names[0], names[1], names[2], ctypes.c_ulong(flags), names[3]), f"mount {target}")


def fresh_work_folder(size: int) -> None:
    """A tmpfs of `size` bytes at WORK, and this process in it. Needs a mount namespace of its own."""
    mount("tmpfs", WORK, "tmpfs", _NOSUID | _NODEV, f"size={size},mode=777,nr_inodes=4096")
    os.chdir(WORK)


def show_processes() -> None:
    """A /proc of this process's own process and control group namespaces. Needs a mount namespace of its own."""
    unshare(NEWCGROUP)
    mount("proc", "/proc", "proc", _NOSUID | _NODEV | _NOEXEC)


def limit(limits: dict[str, Any], mapped: int | None, group: bool, own_user: bool) -> None:
    """Resource limits of each process of the run; `mapped` bytes are there before it starts.

    Of processor time the kernel takes whole seconds here. The supervisor holds a run to less, where a cgroup counts it.

    Args:
        limits: of `protocol.Limits`.
        mapped: address space of the warm process; None for programs of any kind, some of which reserve much more than they use.
        group: whether a cgroup holds the run's memory and processes together. Without one, the run may have one process only.
        own_user: whether the run is a user of its own. Of others' runs the kernel would count the processes, too: then the
            cgroup alone does.
    """
    cpu = math.ceil(limits["cpu_seconds"])
    resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu + 1))  # SIGXCPU tells what it was; whoever ignores that is killed
    for kind, most in (
        (resource.RLIMIT_AS, None if mapped is None else mapped + limits["memory"]),
        (resource.RLIMIT_FSIZE, limits["disk"]),
        (resource.RLIMIT_NOFILE, 64 if mapped is not None else 256),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_MEMLOCK, 0),
        (resource.RLIMIT_MSGQUEUE, 0),
        (resource.RLIMIT_SIGPENDING, 64),
        (resource.RLIMIT_NPROC, 1 if not group else limits["processes"] if own_user else None),
    ):
        already = resource.getrlimit(kind)[1]
        if most is not None and (already == resource.RLIM_INFINITY or most < already):
            resource.setrlimit(kind, (most, most))
        elif already != resource.RLIM_INFINITY:  # a plain user's own limit is lower, and nobody may raise it
            resource.setrlimit(kind, (already, already))


def drop_privileges(user: int | None) -> None:
    """Becomes `user` where this process may, and gives up every capability for good."""
    if user is not None:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)  # which takes root's capabilities away, unless whoever started us has forbidden that
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    _check(_libc.capset(header, (ctypes.c_uint32 * 6)()), "capset")
    _check(_libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
    _check(_libc.prctl(_DUMPABLE, 0, 0, 0, 0), "dumpable")
    die_with_parent()


def die_with_parent() -> None:
    """Has the kernel kill this process when its parent ends. A change of user undoes it."""
    _check(_libc.prctl(PDEATHSIG, signal.SIGKILL, 0, 0, 0), "pdeathsig")


def file_rules(devices: Sequence[str]) -> tuple[Any, list[tuple[Any, Sequence[str]]]]:
    """What Landlock is to watch, and who may do what: everything that is left can be read, only `devices` and WORK be written.

    Made once, in the warm process: the flags and the package's calls are dear to make, and every child would make them again.
    """
    import landlock
    from landlock import plumbing

    for call in (plumbing.get_create_ruleset, plumbing.get_add_rule, plumbing.get_prctl, plumbing.get_restrict_self):
        call()
    access, watched = landlock.FSAccess, landlock.FSAccess.all()
    return watched, [
        (access.EXECUTE | access.READ_FILE | access.READ_DIR, ["/"]),
        (access.READ_FILE | access.WRITE_FILE, devices),
        (watched & ~(access.MAKE_CHAR | access.MAKE_BLOCK), [WORK]),
    ]


def restrict_files(rules: tuple[Any, list[tuple[Any, Sequence[str]]]]) -> None:
    """Has Landlock hold this process to the rules. WORK must be mounted before."""
    import landlock

    ctypes.set_errno(0)  # the package takes an old error for its own
    watched, allowed = rules
    ruleset = landlock.Ruleset(watched)
    for access, paths in allowed:
        ruleset.allow(*paths, rules=access)
    ruleset.apply()


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def restrict_system_calls(program: bytes) -> None:
    """Installs a compiled seccomp filter (see `system_calls.py`)."""
    code = ctypes.create_string_buffer(program, len(program))
    compiled = _Program(len(program) // 8, ctypes.cast(code, ctypes.c_void_p))
    _check(_libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")  # which the kernel wants of whoever is not root
    _check(_libc.prctl(_SECCOMP, 2, ctypes.byref(compiled), 0, 0), "seccomp")
