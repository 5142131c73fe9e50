"""Programs that try to reach other processes, to gain rights, or to make system calls that are denied. See `escapes.py`."""

C = "import ctypes, os\nlibc = ctypes.CDLL(None, use_errno=True)\n"

PRIVILEGES = {
    "kill everyone": """
import os, signal
def attack(secret, port):
    hit = False
    for pid in range(2, 4000):
        try:
            os.kill(pid, signal.SIGKILL)
            hit = True
        except OSError:
            pass
    return hit
""",
    "signal the parent": """
import os
def attack(secret, port):
    if os.getppid() == 0:
        raise ProcessLookupError
    os.kill(os.getppid(), 0)
    return True
""",
    "trace another process": C
    + """
def attack(secret, port):
    return libc.ptrace(16, 1, 0, 0) == 0 or libc.ptrace(0, 0, 0, 0) == 0
""",
    "read another process's memory": C
    + """
def attack(secret, port):
    return libc.syscall(310, os.getppid() or 1, 0, 0, 0, 0, 0) >= 0
""",
    "become root": """
import os
def attack(secret, port):
    os.setresuid(0, 0, 0)
    return os.geteuid() == 0
""",
    "be root already": """
import os
def attack(secret, port):
    open("/tmp/x", "w").close()
    os.chown("/tmp/x", 0, 12345)
    return True
""",
    "make a user namespace": C
    + """
def attack(secret, port):
    return libc.unshare(0x10000000) == 0
""",
    "clone into a user namespace": C
    + """
def attack(secret, port):
    pid = libc.syscall(56, 0x10000000 | 17, 0, 0, 0, 0)
    if pid == 0:
        os._exit(0)
    return pid > 0
""",
    "clone into another namespace": C
    + """
def attack(secret, port):
    for kind in (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x20000000, 0x40000000, 0x20000 | 0x10000000):
        pid = libc.syscall(56, kind | 17, 0, 0, 0, 0)
        if pid == 0:
            os._exit(0)
        if pid > 0:
            return True
""",
    "mount a memory file system": C
    + """
def attack(secret, port):
    return any(libc.mount(b"tmpfs", place, b"tmpfs", 0, None) == 0 for place in (b"/tmp", b"/", b"/usr", b"/dev"))
""",
    "mount a view of a folder": C
    + """
def attack(secret, port):
    return libc.mount(b"/usr", b"/tmp", None, 4096, None) == 0 or libc.mount(None, b"/", None, 16384 | (1 << 20), None) == 0
""",
    "clone by the newer call": C
    + """
def attack(secret, port):
    arguments = (ctypes.c_uint64 * 11)(0x10000000, 0, 0, 0, 17)
    pid = libc.syscall(435, arguments, 88)
    if pid == 0:
        os._exit(0)
    return pid > 0
""",
    "mount": C
    + """
def attack(secret, port):
    return libc.mount(b"proc", b"/tmp", b"proc", 0, None) == 0
""",
    "take a mount away": C
    + """
def attack(secret, port):
    return libc.umount2(b"/tmp", 2) == 0
""",
    "make the root writable": C
    + """
def attack(secret, port):
    return libc.mount(None, b"/", None, 32 | 4096, None) == 0
""",
    "use the kernel's keyring": C
    + """
def attack(secret, port):
    return libc.syscall(250, 0, -3, 0, 0, 0) >= 0
""",
    "load a program into the kernel": C
    + """
def attack(secret, port):
    return libc.syscall(321, 0, (ctypes.c_char * 128)(), 128) >= 0
""",
    "go around by io_uring": C
    + """
def attack(secret, port):
    return libc.syscall(425, 4, (ctypes.c_char * 256)()) >= 0
""",
    "handle page faults": C
    + """
def attack(secret, port):
    return libc.syscall(323, 0) >= 0
""",
    "raise its own limits": """
import resource
def attack(secret, port):
    resource.setrlimit(resource.RLIMIT_CPU, (1000, 1000))
    return True
""",
    "leave the control group": """
import glob
def attack(secret, port):
    for path in glob.glob("/sys/fs/cgroup/**/cgroup.procs", recursive=True):
        open(path, "w").write("0")
        return True
""",
    "use descriptors that were left open": """
import os
def attack(secret, port):
    found = []
    for descriptor in range(4, 1024):
        try:
            os.fstat(descriptor)
            found.append(descriptor)
        except OSError:
            pass
    return bool(found)
""",
    "run a setuid program": """
import glob, os, stat, subprocess
def attack(secret, port):
    for path in glob.glob("/usr/bin/*"):
        if os.stat(path).st_mode & stat.S_ISUID:
            if subprocess.run([path, "-c", "id -u"], capture_output=True).stdout == b"0\\n":
                return True
""",
    "find the file again that an earlier run left": """
import os
def attack(secret, port):
    found = os.path.exists("/tmp/left") or os.path.exists("/var/tmp/left") or os.path.exists("/dev/shm/left")
    for folder in ("/tmp", "/var/tmp", "/dev/shm"):
        try:
            open(folder + "/left", "w").write("x")
        except OSError:
            pass
    return found
""",
}
