"""Addresses of repositories on the hub: ORG/NAME, datasets/ORG/NAME, and ORG/NAME@REVISION."""

from typing import NamedTuple

from ...core import UserError

DATASETS = "datasets/"
"""Prefix of the repositories that are no models, as in the hub's own addresses."""
FORM = "expected ORG/NAME, as in my-lab/chain-sums"


class Address(NamedTuple):
    """A repository."""

    type: str
    """"model", "dataset", or empty: either, a model first."""
    name: str
    """ORG/NAME."""
    revision: str | None = None
    """Branch, tag or commit; None: the main branch."""

    def __str__(self) -> str:
        prefix = DATASETS if self.type == "dataset" else ""
        return f"{prefix}{self.name}" + (f"@{self.revision}" if self.revision else "")


def parse(text: str) -> Address:
    """Returns the address in a text.

    Raises:
        UserError: the text has another form.
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils._validators import validate_repo_id

    address, at, revision = text.partition("@")
    name = address.removeprefix(DATASETS)
    try:
        validate_repo_id(name)
    except HFValidationError:
        name = ""
    if name.count("/") != 1 or (at and not revision):
        raise UserError(f"{text!r} is not the name of a repository: {FORM}")
    return Address("dataset" if address.startswith(DATASETS) else "", name, revision or None)
