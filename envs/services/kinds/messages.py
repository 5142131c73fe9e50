"""Contacts and messages."""

import random

from .request import Request, call, known

NAMES = ("Aida", "Ben", "Clara", "Dmitri", "Esra", "Finn", "Gita", "Hugo", "Iris", "Jonas")
TEXTS = (
    "I am late.",
    "Happy birthday!",
    "The keys are under the mat.",
    "See you at the station.",
    "Please call me back.",
    "The parcel is here.",
)


class Messages:
    """A list of contacts, and the messages that were sent."""

    def __init__(self, contacts: dict[str, str], sent: list[dict[str, str]], blocked: list[str]):
        self.contacts, self.sent, self.blocked = contacts, sent, blocked

    def find_contact(self, name: str) -> str:
        """Returns the telephone number of a contact.

        Args:
            name: first name of the contact.
        """
        known(name, self.contacts, "contact")
        return self.contacts[name]

    def add_contact(self, name: str, number: str) -> str:
        """Adds a contact, or changes the number of one.

        Args:
            name: first name of the contact.
            number: telephone number, digits only.
        """
        if not number.isdigit():
            raise ValueError("a number has digits only")
        self.contacts[name] = number
        return "added"

    def send_message(self, number: str, text: str) -> str:
        """Sends a message to a telephone number.

        Args:
            number: telephone number, digits only.
            text: text of the message.
        """
        if number in self.blocked:
            raise ValueError(f"{number} is blocked")
        if number not in self.contacts.values():
            raise ValueError(f"{number} is not the number of a contact")
        self.sent.append({"to": number, "text": text})
        return "sent"

    def block_number(self, number: str) -> str:
        """Blocks a telephone number.

        Args:
            number: telephone number, digits only.
        """
        if number in self.blocked:
            raise ValueError(f"{number} is blocked already")
        self.blocked.append(number)
        return "blocked"


def state(rng: random.Random) -> dict[str, object]:
    """Returns a random initial state."""
    numbers = rng.sample(range(10_000, 99_999), 4)
    return {
        "contacts": {name: str(number) for name, number in zip(rng.sample(NAMES, 4), numbers, strict=True)},
        "sent": [],
        "blocked": [],
    }


def request(rng: random.Random, messages: Messages) -> Request:
    """Returns a request that can be done now."""
    name, text = rng.choice(sorted(messages.contacts)), rng.choice(TEXTS)
    number, new, other = messages.contacts[name], rng.choice(NAMES), str(rng.randint(10_000, 99_999))
    find = call("find_contact", name=name)
    options = [
        Request(f"Look up the number of {name}.", [find], [number], "Look up a number for me.", f"That of {name}."),
        Request(
            f"Save {other} as the number of {new}.",
            [call("add_contact", name=new, number=other)],
            vague=f"Save the new number of {new}.",
            detail=f"It is {other}.",
        ),
    ]
    if number not in messages.blocked:
        options += [
            Request(
                f'Write to {name}: "{text}"',
                [find, call("send_message", number=number, text=text)],
                vague=f"Write a message to {name}.",
                detail=f'Write: "{text}"',
            ),
            Request(f"Block {name}, so that I get no more calls.", [find, call("block_number", number=number)]),
        ]
    return rng.choice(options)
