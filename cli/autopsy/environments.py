"""The environments of a run's recipe, for commands that judge what is stored in the run's folder."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path


@contextlib.contextmanager
def environments_of_run(folder: Path, *, trust: bool, named: Sequence[str] = ()) -> Iterator[None]:
    """Registers the environments of a run's recipe, and limits which code this process may name meanwhile.

    Without a recipe nothing is registered, and the limits apply all the same: the folder may come from someone else.

    Args:
        folder: folder of the run.
        trust: the user allows the run to name code from outside this package, and the recipe's modules to be imported.
        named: texts of the user that may name code.

    Raises:
        UserError: the recipe cannot be read.
    """
    from ... import named_code
    from ...envs import registry
    from ...pipelines.recipe import recipe
    from ...pipelines.recipe import trust as trusts
    from ...pipelines.recipe.content import references

    path, own = folder / "recipe.yaml", {*registry.user_code_names(), *named_code.names_in(list(named))}
    if not path.is_file():
        limits = named_code.Limits(names=tuple(sorted(own)), origin=str(folder))
        with contextlib.nullcontext() if trust else named_code.limited(limits):
            yield
        return
    read = recipe.load(path)
    if trust:
        with trusts.limited(read, folder, trusted=True):
            yield
        return
    found = trusts.limits(read, dry=True)
    limits = named_code.Limits(
        found.modules, tuple(sorted({*found.names, *own})), found.folder, found.importable, imports=False
    )
    with named_code.limited(limits), registry.recipe_environments(references.with_folders(read.environments, folder), limits):
        yield
