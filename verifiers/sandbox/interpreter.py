"""A Python interpreter for a model: it keeps its names, says what was printed and what the last expression is worth, and
comes back after a program that killed it."""

import contextlib

from .backends import shared
from .protocol import Ended, Limits, SandboxFault, Session


class Interpreter:
    """One session in the sandbox, opened with the first program."""

    def __init__(self, limits: Limits | None = None, max_output: int = 2_000):
        """Describes the interpreter; nothing is started yet.

        Args:
            limits: of the session; the wall time is each program's.
            max_output: characters of a reply.
        """
        self.limits, self.max_output = limits or Limits(), max_output
        self.programs = 0
        self._session: Session | None = None

    def run(self, source: str) -> str:
        """What the program printed, and its last expression's value or its error.

        Raises:
            SandboxFault: ours; the names it kept are lost.
        """
        self.programs += 1
        for last_try in (False, True):
            try:
                self._session = self._session or shared().open(self.limits)
                result = self._session.execute(source, show=True)
                break
            except Ended:
                ended, self._session = self._session, None
                assert ended is not None
                return f"The interpreter was stopped ({ended.close().reason}); a new one starts with your next call."
            except SandboxFault:
                # What it had computed is lost with it: only a fresh interpreter can be tried again.
                fresh, lost, self._session = self._session is None or self.programs == 1, self._session, None
                if lost is not None:
                    with contextlib.suppress(SandboxFault):
                        lost.close()
                if last_try or not fresh:
                    raise
        shown = result.error or (result.value if isinstance(result.value, str) else "")
        said = "\n".join(part for part in (result.printed.rstrip("\n"), shown) if part) or "(no output)"
        return said[: self.max_output]

    def close(self) -> None:
        """Ends the session; the next program opens another."""
        session, self._session = self._session, None
        self.programs = 0
        if session is not None:
            session.close()
