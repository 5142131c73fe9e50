"""Each program runs unchanged. Some limit must end it, and it must affect no other run."""

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
    "nesting": "x = []\nfor _ in range(300_000): x = [x]\nx",
    "a result without end": "import itertools\nlist(itertools.repeat(0))",
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
