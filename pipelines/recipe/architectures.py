"""The architectures of a recipe's policies, from their configurations.

For `hf:` and `config:` no weights are downloaded or created. For other URIs the checkpoint is downloaded or created if it is
not in the cache.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qsl

from ... import digests
from ...core import UserError
from ...policies import checkpoints
from ...policies import identity as policies
from ...policies.models.cached import cached
from ...policies.server import hub
from .preparation import with_policies
from .recipe import Recipe

KNOWN = {"Nanbeige/Nanbeige4-3B-Base": "nanbeige4-3b"}
"""Models of the hub whose configuration the package has, for machines without a connection: name to file in
`policies/models`."""


def starts_of(recipe: Recipe, folder: Path) -> dict[str, str]:
    """Returns the policy that each stage starts from, by the URI of the policy that the stage writes.

    Args:
        recipe: with references replaced.
        folder: folder of the run.
    """
    found: dict[str, str] = {}
    for stage, policy in with_policies(recipe, folder):
        # `with_policies` joins names to the folder as it was given; references in settings have the absolute path.
        found |= dict.fromkeys((f"stage:{folder / stage.name}", f"stage:{(folder / stage.name).resolve()}"), policy)
    return found


def configuration(uri: str, starts: Mapping[str, str]) -> Path | None:
    """Returns a folder with at least the config.json of a policy; None if it is not known.

    Args:
        uri: URI of the policy. If a stage of the recipe writes it, it has the architecture of the policy that the stage starts
            from.
        starts: see `starts_of`.
    """
    uri = policies.without_backend(uri)
    while (start := starts.get(checkpoints.stage_and_step(uri)[0])) is not None:
        uri = policies.without_backend(start)
    try:
        return _configuration(uri)
    except UserError:  # the stages that need the policy itself report the error
        return None


def _configuration(uri: str) -> Path:
    """Returns a folder with at least config.json.

    Raises:
        UserError: there is none.
    """
    address, _, query = uri.partition("?")
    scheme, _, location = address.partition(":")
    if scheme == "config":
        return _alone(checkpoints.configuration_file(location))
    if scheme == "hf":
        try:
            return hub.download_file(location, "config.json", dict(parse_qsl(query)).get("revision"), "path:FOLDER").parent
        except hub.Unreachable:
            if location not in KNOWN:
                raise
            return _alone(checkpoints.CONFIGS / f"{KNOWN[location]}.json")
    folder = checkpoints.checkpoint(uri)
    if not (folder / "config.json").is_file():
        raise UserError(f"{folder} is not a checkpoint: it has no config.json")
    return folder


def _alone(file: Path) -> Path:
    """Returns a folder that has a configuration file alone, as config.json."""

    def make(folder: Path) -> None:
        shutil.copyfile(file, folder / "config.json")

    return cached(f"configuration-{digests.of_file(file)[:12]}", make)
