"""A list of tasks."""

import random

from .request import Request, call, known

TITLES = (
    "water the plants",
    "pay the rent",
    "fix the bike",
    "call grandma",
    "clean the oven",
    "write the report",
    "buy stamps",
    "renew the passport",
)
LISTS = ("home", "work", "errands")


class Tasks:
    """Tasks by title, each in a list."""

    def __init__(self, tasks: dict[str, dict[str, object]]):
        self.tasks = tasks

    def list_tasks(self, list_name: str) -> list[str]:
        """Returns the titles of the tasks of a list that are not done, sorted.

        Args:
            list_name: home, work or errands.
        """
        self._check(list_name)
        return sorted(title for title, task in self.tasks.items() if task["list"] == list_name and not task["done"])

    def add_task(self, title: str, list_name: str) -> str:
        """Adds a task.

        Args:
            title: what is to be done.
            list_name: home, work or errands.
        """
        self._check(list_name)
        if title in self.tasks:
            raise ValueError(f"there is a task {title} already")
        self.tasks[title] = {"list": list_name, "done": False, "due": None}
        return "added"

    def finish_task(self, title: str) -> str:
        """Marks a task as done.

        Args:
            title: title of the task.
        """
        known(title, self.tasks, "task")
        if self.tasks[title]["done"]:
            raise ValueError(f"the task {title} is done already")
        self.tasks[title]["done"] = True
        return "done"

    def set_due_day(self, title: str, day: int) -> str:
        """Sets the day of the month on which a task is due.

        Args:
            title: title of the task.
            day: day of the month, 1 to 31.
        """
        known(title, self.tasks, "task")
        if not 1 <= day <= 31:
            raise ValueError("the day is from 1 to 31")
        self.tasks[title]["due"] = day
        return "set"

    def _check(self, list_name: str) -> None:
        if list_name not in LISTS:
            raise ValueError(f"the lists are {', '.join(LISTS)}")


def state(rng: random.Random) -> dict[str, object]:
    """Returns a random initial state."""
    return {"tasks": {title: {"list": rng.choice(LISTS), "done": False, "due": None} for title in rng.sample(TITLES, 4)}}


def request(rng: random.Random, tasks: Tasks) -> Request:
    """Returns a request that can be done now."""
    title, day, name = rng.choice(sorted(tasks.tasks)), rng.randint(1, 28), rng.choice(LISTS)
    list_name = str(tasks.tasks[title]["list"])
    options = []
    if tasks.tasks[title]["due"] != day:
        options.append(
            Request(
                f'The task "{title}" is due on day {day}.',
                [call("set_due_day", title=title, day=day)],
                vague=f'Set a due day for the task "{title}".',
                detail=f"Day {day} of the month.",
            )
        )
    if not tasks.tasks[title]["done"]:
        options += [
            Request(
                f'Mark the task "{title}" as done.',
                [call("finish_task", title=title)],
                vague="Mark a task as done." if sum(not task["done"] for task in tasks.tasks.values()) > 1 else "",
                detail=f'I mean "{title}".',
            ),
            Request(
                f"Tell me what is left on my list {list_name}.",
                [call("list_tasks", list_name=list_name)],
                tasks.list_tasks(list_name),
            ),
        ]
        if tasks.list_tasks(list_name) == [title]:
            options.append(
                Request(
                    f"One task is left on the list {list_name}. Look it up and mark it as done.",
                    [call("list_tasks", list_name=list_name), call("finish_task", title=title)],
                )
            )
    if free := [each for each in TITLES if each not in tasks.tasks]:
        new = rng.choice(free)
        options.append(
            Request(
                f'Put "{new}" on the list {name}.',
                [call("add_task", title=new, list_name=name)],
                vague=f"Put a new task on the list {name}.",
                detail=f'It is "{new}".',
            )
        )
    return (
        rng.choice(options)
        if options
        else Request(f"Tell me what is left on my list {name}.", [call("list_tasks", list_name=name)])
    )
