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
            limits: of the whole session, except that each program gets the full wall time.
            max_output: maximum number of characters of a reply.
        """
        self.limits, self.max_output = limits or Limits(), max_output
        self.programs = 0
        self._session: Session | None = None

    def run(self, source: str) -> str:
        """Runs a program and returns its output, followed by the value of its last expression or by its error.

        Raises:
            SandboxFault: the sandbox failed; the interpreter's variables are lost.
        """
        self.programs += 1
        for last_try in (False, True):
            try:
                self._session = self._session or shared().open(self.limits)
                result = self._session.execute(source, as_text=True)
                break
            except ProgramEnded:
                ended, self._session = self._session, None
                assert ended is not None
                return f"The interpreter was stopped ({ended.close().reason}); a new one starts with your next call."
            except SandboxFault:
                # The variables of earlier programs are lost, so only the first program of an interpreter can be retried.
                fresh, failed, self._session = self._session is None or self.programs == 1, self._session, None
                if failed is not None:
                    with contextlib.suppress(SandboxFault):
                        failed.close()
                if last_try or not fresh:
                    raise
        value = result.error or (result.value if isinstance(result.value, str) else "")
        reply = "\n".join(part for part in (result.printed.rstrip("\n"), value) if part) or "(no output)"
        return reply[: self.max_output]

    def close(self) -> None:
        """Ends the session. The next program opens a new one."""
        session, self._session = self._session, None
        self.programs = 0
        if session is not None:
            session.close()
