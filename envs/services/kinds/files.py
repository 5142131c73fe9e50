"""A folder tree with text files."""

import random

from .request import Request, call, known

FOLDERS = ("reports", "photos", "letters", "recipes", "invoices")
NAMES = ("march.txt", "plan.txt", "notes.txt", "draft.txt", "summary.txt", "list.txt", "budget.txt", "route.txt")
LINES = ("Buy paint.", "Call the school.", "Send the figures.", "Book the room.", "Check the brakes.", "Water the plants.")


class Files:
    """Text files in folders of one level."""

    def __init__(self, folders: dict[str, dict[str, str]]):
        self.folders = folders

    def list_files(self, folder: str) -> list[str]:
        """Returns the names of the files in a folder, sorted.

        Args:
            folder: name of the folder.
        """
        known(folder, self.folders, "folder")
        return sorted(self.folders[folder])

    def read_file(self, folder: str, name: str) -> str:
        """Returns the text of a file.

        Args:
            folder: name of the folder.
            name: name of the file.
        """
        self._check(folder, name)
        return self.folders[folder][name]

    def append_line(self, folder: str, name: str, line: str) -> str:
        """Appends a line to a file. The file is created if there is none.

        Args:
            folder: name of the folder.
            name: name of the file.
            line: text of the line.
        """
        known(folder, self.folders, "folder")
        self.folders[folder][name] = self.folders[folder].get(name, "") + line + "\n"
        return "appended"

    def move_file(self, name: str, source: str, target: str) -> str:
        """Moves a file to another folder.

        Args:
            name: name of the file.
            source: folder where it is.
            target: folder where it should be.
        """
        self._check(source, name)
        known(target, self.folders, "folder")
        if name in self.folders[target]:
            raise ValueError(f"{target} has a file {name} already")
        self.folders[target][name] = self.folders[source].pop(name)
        return "moved"

    def delete_file(self, folder: str, name: str) -> str:
        """Deletes a file.

        Args:
            folder: name of the folder.
            name: name of the file.
        """
        self._check(folder, name)
        del self.folders[folder][name]
        return "deleted"

    def _check(self, folder: str, name: str) -> None:
        known(folder, self.folders, "folder")
        known(name, self.folders[folder], "file")


def state(rng: random.Random) -> dict[str, object]:
    """Returns a random initial state."""
    folders: dict[str, dict[str, str]] = {folder: {} for folder in rng.sample(FOLDERS, 3)}
    for name in rng.sample(NAMES, 5):
        folders[rng.choice(sorted(folders))][name] = rng.choice(LINES) + "\n"
    return {"folders": folders}


def request(rng: random.Random, files: Files) -> Request:
    """Returns a request that can be done now."""
    folder, target = rng.sample(sorted(files.folders), 2)
    line, new = rng.choice(LINES), rng.choice(NAMES)
    options = [
        Request(
            f'Add the line "{line}" to {new} in {folder}.',
            [call("append_line", folder=folder, name=new, line=line)],
            vague=f"Add a line to {new} in {folder}.",
            detail=f'The line is "{line}"',
        )
    ]
    if files.folders[folder]:
        name, names = rng.choice(sorted(files.folders[folder])), sorted(files.folders[folder])
        options += [
            Request(f"List the files in {folder}.", [call("list_files", folder=folder)], names),
            Request(
                f"Delete {name} in {folder}.",
                [call("delete_file", folder=folder, name=name)],
                vague=f"Delete a file in {folder}." if len(names) > 1 else "",
                detail=f"The file {name}.",
            ),
            Request(
                f"Read {name} in {folder} to me.",
                [call("read_file", folder=folder, name=name)],
                [files.folders[folder][name].splitlines()[0]],
            ),
        ]
        if name not in files.folders[target]:
            options.append(
                Request(
                    f"Move {name} from {folder} to {target}.",
                    [call("move_file", name=name, source=folder, target=target)],
                    vague=f"Move a file to {target}.",
                    detail=f"I mean {name} in {folder}.",
                )
            )
    return rng.choice(options)
