"""Where a checkpoint comes from: the run and the stage that trained it, the base model and its licence."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from ... import digests, disk
from ...core import UserError
from ...policies.models import adapter, packaged, smollm2
from ..stage import RECORD, read_record
from .contents import CARD, RECIPE

LICENCE_KEYS = ("license", "license_name", "license_link")
_SMOLLM2_LICENCE = "apache-2.0"
_MAX_STAGES = 100


@dataclass(frozen=True)
class Base:
    """The model that a training started from."""

    uri: str
    """URI of the policy."""
    name: str = ""
    """ORG/NAME on the hub; empty if it is not there, such as a model with random weights."""
    licence: Mapping[str, str] = field(default_factory=dict)
    """Its licence as in the metadata of a card (license, license_name, license_link); empty if it is not known."""
    adapted: str = ""
    """How the weights differ from those on the hub; empty if they do not."""

    def __str__(self) -> str:
        if self.uri.startswith(("micro:", "config:")):
            return f"random weights (`{self.uri}`)"
        licence = self.licence.get("license_name") or self.licence.get("license") or "not known"
        named = f"{self.name}{f' ({self.adapted})' if self.adapted else ''}" if self.name else f"`{self.uri}`"
        return f"{named}, licence {licence}"


@dataclass(frozen=True)
class Run:
    """The finished stages of a run."""

    folder: Path
    recipe: Mapping[str, object]
    recipe_text: str
    records: Mapping[str, disk.Row]
    """`stage.json` of each finished stage, by name, in the recipe's order."""
    unfinished: tuple[str, ...]
    """Names of the other stages."""

    @property
    def name(self) -> str:
        """Name of the recipe."""
        return str(self.recipe.get("name") or self.folder.name)


def run_of(folder: Path) -> Run:
    """Returns what a run's folder says.

    Raises:
        UserError: it is not the folder of a run, or a file of it is damaged.
    """
    path = folder / RECIPE
    if not path.is_file():
        raise UserError(f"{folder} is not the folder of a run: it has no {RECIPE}")
    recipe = disk.read_yaml(path)
    with disk.reading(path, "name the folder of a run"):
        names = [str(stage["name"]) for stage in recipe["stages"]]
    records = {name: record for name in names if (record := read_record(folder / name)) and "metrics" in record}
    text = path.read_text(encoding="utf-8")
    return Run(folder, recipe, text, records, tuple(name for name in names if name not in records))


def weights_of(folder: Path) -> dict[str, str]:
    """Returns the digests of a checkpoint's weights, by name of the file."""
    return digests.of_files(folder, ["*.safetensors"])


def measured(record: disk.Row) -> dict[str, str]:
    """Returns the digests of the weights that a stage started from, by name of the file."""
    inputs = record.get("inputs", {})
    return {name.removeprefix("policy/"): digest for name, digest in inputs.items() if name.startswith("policy/")}


def base_of_stage(run: Run | None, stage: Path) -> Base:
    """Returns the base model of a stage: what the first stage of those that its policy went through started from.

    Args:
        run: the run of the stage, if it is known.
        stage: folder of the stage.
    """
    uri = ""
    for _ in range(_MAX_STAGES):
        record = read_record(stage)
        if record is None:
            break
        uri = re.sub(r"^vllm\+", "", str(record["policy"]))
        if not uri.startswith("stage:"):
            break
        named = Path(uri.removeprefix("stage:").partition("@")[0])
        places = [named, *([run.folder / named.name] if run else [])]
        used = measured(record)
        earlier = next((place for place in places if used and weights_of(place / "policy") == used), None)
        earlier = earlier or next((place for place in places[::-1] if (place / RECORD).is_file()), None)
        if earlier is None or earlier.resolve() == stage.resolve():
            break
        stage = earlier
    return base(uri)


def base(uri: str) -> Base:
    """Returns a base model by the URI of its policy. Nobody is asked: licences come from tables and caches.

    Args:
        uri: URI, such as hf:ORG/NAME.
    """
    scheme, _, rest = uri.partition(":")
    location = rest.partition("?")[0]
    if scheme == "smollm2":
        return Base(uri, smollm2.HUB_NAME, {"license": _SMOLLM2_LICENCE}, "quantized to 4 bits in the package that contains it")
    if scheme == "packaged" and location in packaged.MODELS:
        model = packaged.MODELS[location]
        name = urlsplit(model.makers).path.strip("/")
        return Base(uri, name, {"license": model.licence.lower()}, f"the quantized weights of {model.title}")
    if scheme == "hf":
        revision = dict(parse_qsl(rest.partition("?")[2])).get("revision")
        return Base(uri, location, _cached_licence(location, revision))
    if scheme == "gguf" and location.startswith("hf:"):
        name = "/".join(location.removeprefix("hf:").split("/")[:2])
        return Base(uri, name, _cached_licence(name, None), "the quantized weights of a GGUF file")
    if scheme == "path":
        data = metadata(disk.expanded(location) / CARD)
        named = data.get("base_model")
        licence = {key: str(data[key]) for key in LICENCE_KEYS if data.get(key)}
        return Base(uri, named if isinstance(named, str) and named.count("/") == 1 else "", licence, "trained further")
    return Base(uri)


def base_of_adapter(folder: Path) -> Base:
    """Returns the base model that an adapter's configuration names.

    Raises:
        UserError: the configuration cannot be read, or names none.
    """
    return base(adapter.base_of(folder))


def metadata(card: Path) -> dict[str, object]:
    """Returns the metadata of a card; empty if there is none that can be read."""
    from huggingface_hub import RepoCard

    try:
        return dict(RepoCard(card.read_text(encoding="utf-8"), ignore_metadata_errors=True).data.to_dict())
    except Exception:  # a card is the text of somebody else
        return {}


def _cached_licence(name: str, revision: str | None) -> dict[str, str]:
    """Returns the licence in the card of a model that is in the hub's cache; empty if the card is not there."""
    from huggingface_hub import try_to_load_from_cache

    try:
        found = try_to_load_from_cache(name, CARD, revision=revision)
    except ValueError:  # the name is none of the hub's
        return {}
    data = metadata(Path(found)) if isinstance(found, str) else {}
    return {key: str(data[key]) for key in LICENCE_KEYS if data.get(key)}
