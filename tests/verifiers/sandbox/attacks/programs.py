"""All escapes of a language as one program. It tries each separately and prints which it has tried and which succeeded."""

import json

from . import native, others, scripts, shell

_SHELL = """
try() { if (eval "$2") > /dev/null 2>&1 < /dev/null; then echo "THROUGH $1"; fi; echo "TRIED $1"; }
"""
_NATIVE = """
static void try_it(const char *name, int number) {
  pid_t pid = fork();
  int status = 0;
  if (pid == 0) { alarm(5); _exit(probe(number) ? 42 : 0); }
  if (pid < 0) return;
  waitpid(pid, &status, 0);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 42) printf("THROUGH %s\\n", name);
  printf("TRIED %s\\n", name);
  fflush(stdout);
}
"""
_SCRIPTS = """
const fs = require('fs'), os = require('os'), net = require('net'), dgram = require('dgram');
const run = (program, words) => require('child_process').spawnSync(program, words, {encoding: 'utf8', timeout: 5000});
const works = step => { try { step(); return true; } catch { return false; } };
const fds = () => fs.readdirSync('/proc/self/fd');
const reaches = place => new Promise(told => {
  const one = net.connect(place, () => told(true));
  one.on('error', () => told(false));
});
const attempts = {ATTEMPTS};
(async () => {
  for (const [name, attempt] of Object.entries(attempts)) {
    let through = false;
    try { through = await attempt(); } catch {}
    console.log((through ? `THROUGH ${name}\\n` : '') + `TRIED ${name}`);
  }
  process.exit(0);
})();
"""


def _in_bash() -> str:
    return _SHELL + "".join(f"try {_quoted(name)} {_quoted(attack)}\n" for name, attack in shell.ESCAPES.items())


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _in_c() -> str:
    cases = "".join(f"    case {number}: return ({attack});\n" for number, attack in enumerate(native.ESCAPES.values()))
    probe = f"static int probe(int number) {{\n  switch (number) {{\n{cases}  }}\n  return 0;\n}}\n"
    tries = "".join(f"  try_it({json.dumps(name)}, {number});\n" for number, name in enumerate(native.ESCAPES))
    return f"{native.HEADERS}{probe}{_NATIVE}int main(void) {{\n{tries}  return 0;\n}}\n"


def _in_javascript() -> str:
    attempts = ", ".join(f"{json.dumps(name)}: () => {attack}" for name, attack in scripts.ESCAPES.items())
    return _SCRIPTS.replace("ATTEMPTS", attempts)


ESCAPES = {
    **{"bash": tuple(shell.ESCAPES), "c": tuple(native.ESCAPES), "cpp": tuple(native.ESCAPES)},
    **{"javascript": tuple(scripts.ESCAPES)},
    **{language: (*others.NAMES, *shell.ESCAPES) for language in others.PROGRAMS},
}
"""For each language the names of its attacks. Most languages try a few, and then run those of bash."""
NEEDS = {"bash": "bash", "c": "gcc", "cpp": "g++", "javascript": "node"}
"""The command that each of these languages needs."""


def program(language: str, secret: str, port: int, supervisor: int) -> str:
    """Returns the program with all escapes of a language.

    Args:
        language: one of `languages.LANGUAGES`.
        secret: a file that no program may read.
        port: of a server of this machine, on TCP and on the abstract unix socket `tenfold-attack-<port>`.
        supervisor: a process of this machine.
    """
    own = {"bash": _in_bash, "c": _in_c, "cpp": _in_c, "javascript": _in_javascript}
    source = own[language]() if language in own else others.PROGRAMS[language]
    # The variable's name contains the word that stands for the file.
    source = source.replace("TEST_SECRET", "TEST_\0").replace("SECRET", secret).replace("\0", "SECRET")
    return source.replace("PORT", str(port)).replace("SUPERVISOR", str(supervisor))
