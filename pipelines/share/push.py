"""Sends files and their card to a repository of the hub, as one commit.

Large files are uploaded first, and the commit names them. A push that was interrupted therefore leaves the repository as it
was, and the same command sends only what the hub lacks.
"""

from collections.abc import Callable
from pathlib import Path

from ... import digests
from ...core import UserError
from . import search
from .address import Address
from .contents import CARD, File
from .hub import errors
from .parcel import Parcel

LARGE_BYTES = 10_000_000
"""Files of at least this size are uploaded before the others, with a line for each. Our choice."""
_OF_THE_HUB = (".gitattributes",)
"""Files that the hub itself writes."""


def send(parcel: Parcel, address: Address, say: Callable[[str], None], *, public: bool = False, replace: bool = False) -> str:
    """Sends a parcel and returns the commit. A repository that does not exist is created.

    Args:
        parcel: the files.
        address: the repository. Its type is the parcel's.
        say: gets a line about the progress.
        public: a new repository is public; else it is private.
        replace: files of the repository that differ are replaced, and others are deleted; its earlier commits keep them.

    Raises:
        UserError: a file contains a secret, the repository has other files or is public, or the hub fails.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, get_token
    from huggingface_hub.errors import RepositoryNotFoundError

    files = parcel.all_files
    search.check(files)
    if not get_token():
        raise UserError("a push needs a token of the hub: set HF_TOKEN, or log in with `hf auth login`")
    api, name, kind = HfApi(), address.name, parcel.type
    with errors(address, "push"):
        try:
            info = api.repo_info(name, repo_type=kind)
        except RepositoryNotFoundError:
            api.create_repo(name, repo_type=kind, private=not public, exist_ok=True)
            info = api.repo_info(name, repo_type=kind)
            say(f"created {address}, {'private' if info.private else 'public'}")
        if not info.private and not public:
            raise UserError(f"{address} is public: add --public to send the files where everybody can read them")
        if info.private and public:
            say(f"{address} is private and stays so: change it on its page of settings")
        entries = api.list_repo_tree(name, repo_type=kind, recursive=True, revision=info.sha)
        there = {entry.path: entry for entry in entries if _is_file(entry)}
        changed = [file for file in files if not _same(file, there.get(file.path))]
        others = sorted(there.keys() - {file.path for file in files} - {*_OF_THE_HUB})
        if not changed and not others:
            return str(info.sha)
        if not replace and (others or any(file.path in there for file in changed)):
            other = others[0] if others else next(file.path for file in changed if file.path in there)
            raise UserError(
                f"{address} has other files, such as {other}: choose another name, or replace them by --replace (earlier "
                "commits keep them)"
            )
        operations: list[CommitOperationAdd | CommitOperationDelete] = []
        for file in sorted(changed, key=lambda file: (file.path == CARD, file.path)):
            operation = CommitOperationAdd(file.path, file.source)
            operation.upload_info.sha256 = bytes.fromhex(file.sha256)
            operations.append(operation)
            if file.size >= LARGE_BYTES:
                say(f"uploading {file.path} ({file.size / 1e6:,.0f} MB)")
                api.preupload_lfs_files(name, [operation], repo_type=kind, free_memory=False)
        for file in files:
            if isinstance(file.source, Path) and digests.of_file(file.source) != file.sha256:
                raise UserError(f"{file.source} has changed since it was read: run the same command again")
        message = f"tenfold push: {parcel.kind}"
        operations += [CommitOperationDelete(path) for path in others]
        done = api.create_commit(name, operations, repo_type=kind, commit_message=message, parent_commit=info.sha)
        return str(done.oid)


def _is_file(entry: object) -> bool:
    return hasattr(entry, "blob_id")


def _same(file: File, entry: object) -> bool:
    """True if the repository has a file with the same content."""
    from huggingface_hub.hf_api import RepoFile
    from huggingface_hub.utils import sha

    if not isinstance(entry, RepoFile) or entry.size != file.size:
        return False
    if entry.lfs is not None:
        return entry.lfs.sha256 == file.sha256
    content = file.source if isinstance(file.source, bytes) else file.source.read_bytes()
    return bool(sha.git_hash(content) == entry.blob_id)
