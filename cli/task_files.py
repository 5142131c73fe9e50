"""The code that task files may name on the command line."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence

from .. import named_code


@contextlib.contextmanager
def code_limits(tasks: Sequence[str], arguments: Mapping[str, object], trust: bool) -> Iterator[None]:
    """Limits the code that this process may name while it runs task files, which may come from someone else.

    Args:
        tasks: names of tasks.
        arguments: the values of the command line; the user may name any code there.
        trust: no limits: the task files may also name code, and modules in the working folder.
    """
    from ..benchmarks import catalogue, task_file
    from ..envs import registry

    files = [task for task in tasks if task_file.is_file_name(task)]
    if not files:
        yield
    elif trust:
        named_code.import_from_here([catalogue.settings(file) for file in files])
        yield
    else:
        names = {*registry.user_code_names(), *named_code.names_in(dict(arguments))}
        with named_code.limited(named_code.Limits(names=tuple(sorted(names)), origin=", ".join(files))):
            yield
