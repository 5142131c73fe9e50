"""A Python interpreter for a model.

It keeps variables between programs, returns the output and the value of the last expression, and starts again after a program
that killed it.
"""

import contextlib

from .backends import shared
from .protocol import Limits, ProgramEnded, SandboxFault, Session


class Interpreter:
    """One sandbox session, opened when the first program runs."""

    def __init__(self, limits: Limits | None = None, max_output: int = 2_000):
        """Stores the settings; nothing is started yet.

        Args:
            limits: limits of the whole session, except that each program gets the full wall time. A session that replaces one
                that has ended has the full limits again.
            max_output: maximum number of characters of a reply.
        """
        self.limits, self.max_output = limits or Limits(), max_output
        self._session: Session | None = None

    def run(self, source: str) -> str:
        """Runs a program and returns its output, followed by the value of its last expression or by its error.

        Raises:
            SandboxFault: the sandbox failed; the interpreter's variables are lost.
        """
        for last_try in (False, True):
            is_first = self._session is None
            try:
                self._session = self._session or shared().open(self.limits)
                result = self._session.execute(source, as_text=True)
                break
            except ProgramEnded:
                ended, self._session = self._session, None
                assert ended is not None
                return f"The interpreter was stopped ({ended.close().reason}); a new one starts with your next call."
            except SandboxFault:
                self.close()
                if last_try or not is_first:  # the variables of earlier programs are lost, so a later program cannot be retried
                    raise
            except BaseException:  # interrupted: the next program would get this one's result
                self.close()
                raise
        value = result.error or (result.value if isinstance(result.value, str) else "")
        reply = "\n".join(part for part in (result.printed.rstrip("\n"), value) if part) or "(no output)"
        return reply[: self.max_output]

    def close(self) -> None:
        """Ends the session. The next program opens a new one."""
        session, self._session = self._session, None
        if session is not None:
            with contextlib.suppress(SandboxFault):  # the session has ended with its sandbox
                session.close()
