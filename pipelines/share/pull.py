"""Fetches what a push has sent: the files of the card's list, checked by their SHA-256. Nothing is imported or run.

The files come into FOLDER.partial, which gets the name FOLDER when it is whole. A pull that was interrupted goes on where it
ended, also within a file.
"""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ... import digests, disk, faults
from ...core import UserError
from . import contents, parcel, search
from .address import Address
from .contents import CARD, CHECKPOINT, ENVIRONMENT, PAGES
from .hub import AGAIN, errors

MAX_CARD = 8_000_000
"""Largest card that is read, in bytes. Our choice."""
_MARK = ".tenfold-pull"
"""File in a folder of an unfinished pull, with the name of the repository."""


@dataclass(frozen=True)
class Offer:
    """What a repository has."""

    address: Address
    """The repository, with the commit as the revision."""
    kind: str
    """checkpoint, pages or environment."""
    card: bytes
    digests: dict[str, str]
    """SHA-256 of each file of the card's list, by path."""
    sizes: dict[str, int]
    """Size of each of them, in bytes."""
    others: tuple[str, ...]
    """Files of the repository that the card does not list. They are not fetched."""


def look(address: Address) -> Offer:
    """Returns what a repository has. Only its card is fetched.

    Raises:
        UserError: there is no such repository, it was not pushed by tenfold, or its card lists files that may not come.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import RepositoryNotFoundError
    from huggingface_hub.hf_api import RepoFile
    from huggingface_hub.utils import sha

    api, type_ = HfApi(), address.type or "model"
    with errors(address, "pull"):
        try:
            info = api.repo_info(address.name, repo_type=type_, revision=address.revision)
        except RepositoryNotFoundError:
            if address.type:
                raise
            type_ = "dataset"
            info = api.repo_info(address.name, repo_type=type_, revision=address.revision)
        exact = Address(type_, address.name, str(info.sha))
        entries = api.list_repo_tree(address.name, repo_type=type_, revision=info.sha, recursive=True)
        there = {entry.path: entry for entry in entries if isinstance(entry, RepoFile)}
        advice = f"it was not pushed by tenfold; for a model of somebody else use the policy hf:{address.name}"
        if CARD not in there or there[CARD].size > MAX_CARD:
            raise UserError(f"{address} has no card ({CARD}) that can be read: {advice}")
        card = _content(exact, CARD, there[CARD].size)
    entry = there[CARD]
    if (sha.git_hash(card) != entry.blob_id) if entry.lfs is None else (_digest(card) != entry.lfs.sha256):
        raise UserError(f"{address}: the card was damaged on its way: {AGAIN}")
    try:
        text = card.decode()
        listed = parcel.listed(text)
    except ValueError as error:
        raise UserError(f"{address}: {error}: {advice}") from None
    kind = _kind(text)
    if kind not in (CHECKPOINT, PAGES, ENVIRONMENT):
        raise UserError(f"{address}: the card does not say what it describes: {advice}")
    for path in listed:
        if reason := contents.refusal(kind, path):
            raise UserError(f"{address}: the card lists {path!r}, which is refused: {reason}")
        if path not in there or path == CARD:
            raise UserError(f"{address}: the repository lacks {path}, which the card lists")
    others = sorted(there.keys() - listed.keys() - {CARD, ".gitattributes"})
    return Offer(exact, kind, card, listed, {path: there[path].size for path in listed}, tuple(others))


def fetch(offer: Offer, folder: Path, say: Callable[[str], None]) -> None:
    """Fetches the files of an offer into a folder, which must not exist, or be empty.

    Raises:
        UserError: the folder has files, a file does not have the SHA-256 of the card, or the connection breaks.
    """
    partial = folder.with_name(f"{folder.name}.partial")
    if folder.is_symlink() or (folder.exists() and (not folder.is_dir() or any(folder.iterdir()))):
        if folder.is_dir() and _is_there(offer, folder):
            return say(f"{folder} has all files of {offer.address.name}")
        raise UserError(f"{folder} exists: nothing is overwritten; name another folder")
    mark = partial / _MARK
    if partial.is_symlink() or (partial.exists() and not _is_ours(mark, offer.address)):
        raise UserError(f"{partial} exists and is not an unfinished pull of {offer.address.name}: move it away")
    with faults.as_user_errors(folder):
        partial.mkdir(parents=True, exist_ok=True)
        with disk.locked(partial):
            mark.write_text(f"{_marked(offer.address)}\n", encoding="utf-8")
            _check_space(offer, partial)
            for number, path in enumerate(sorted(offer.digests), start=1):
                _fetch_one(offer, path, partial, f"{number}/{len(offer.digests)}", say)
            (partial / CARD).write_bytes(offer.card)
            _remove_others(partial, {*offer.digests, CARD})
        mark.unlink()
        os.rename(partial, folder)  # replaces an empty folder


def _fetch_one(offer: Offer, path: str, partial: Path, count: str, say: Callable[[str], None]) -> None:
    """Fetches a file unless it is there, and checks it. A file of another content is fetched once more."""
    target = partial / path
    target.parent.mkdir(parents=True, exist_ok=True)
    size, wanted = offer.sizes[path], offer.digests[path]
    for begun in (target.stat().st_size if target.is_file() else 0, 0):
        if begun > size or (begun == size and target.is_file() and digests.of_file(target) != wanted):
            target.unlink()
            begun = 0
        if not target.is_file() or begun < size:
            say(f"{count} {path} ({size / 1e6:,.1f} MB{f', of which {begun / 1e6:,.1f} MB are here' if begun else ''})")
            _download(offer.address, path, size, target, begun)
        if digests.of_file(target) == wanted:
            if path.endswith(".safetensors"):
                search.header(target)
            return
        target.unlink()
    raise UserError(f"{offer.address.name}: {path} does not have the SHA-256 that the card lists: it was removed")


def _download(address: Address, path: str, size: int, target: Path, begun: int) -> None:
    from huggingface_hub import hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils._headers import build_hf_headers

    url = hf_hub_url(address.name, path, repo_type=address.type, revision=address.revision)
    with errors(address, "pull"), target.open("ab") as file, disk.name_in_errors(target):
        try:
            http_get(url, file, resume_size=begun, headers=build_hf_headers(), expected_size=size)
        except OSError as error:  # the client says so that the content has another size
            if "Consistency check failed" in str(error):
                raise UserError(f"{address.name}: {path} has another size than the hub says: {AGAIN}") from None
            raise


def _content(address: Address, path: str, size: int) -> bytes:
    """Returns a small file of a repository."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "file")
        _download(address, path, size, target, 0)
        return target.read_bytes()


def _digest(content: bytes) -> str:
    return contents.of_bytes(CARD, content).sha256


def _kind(card: str) -> str:
    from huggingface_hub import RepoCard

    try:
        return str(RepoCard(card, ignore_metadata_errors=True).data.get(parcel.KIND_KEY))
    except Exception:  # the text is somebody else's
        return ""


def _is_there(offer: Offer, folder: Path) -> bool:
    """True if a folder has all files of an offer."""
    places = {path: folder / path for path in offer.digests}
    return all(place.is_file() and digests.of_file(place) == offer.digests[path] for path, place in places.items())


def _marked(address: Address) -> str:
    return f"{address.type} {address.name}"


def _is_ours(mark: Path, address: Address) -> bool:
    return mark.is_file() and mark.read_text(encoding="utf-8", errors="replace").strip() == _marked(address)


def _check_space(offer: Offer, partial: Path) -> None:
    needed = sum(offer.sizes.values()) - sum(path.stat().st_size for path in partial.rglob("*") if path.is_file())
    if (free := shutil.disk_usage(partial).free) < needed:
        raise UserError(f"{partial} needs {needed / 1e6:,.0f} MB of free space and has {free / 1e6:,.0f} MB: delete files")


def _remove_others(partial: Path, wanted: set[str]) -> None:
    """Removes files of an earlier revision, which an interrupted pull has left."""
    for path in [path for path in partial.rglob("*") if path.is_file() and path.relative_to(partial).as_posix() not in wanted]:
        if path.name not in (_MARK, ".lock"):
            path.unlink()
