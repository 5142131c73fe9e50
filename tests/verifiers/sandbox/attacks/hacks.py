"""Each program defines add(a, b) without adding. It must pass no test."""

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
    for path in glob.glob("/tmp/**", recursive=True) + glob.glob("/*/*test*"):
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
