"""A calendar with events of one day."""

import random

from .request import Request, at, call, check_time, known

TITLES = (
    "dentist",
    "team meeting",
    "yoga class",
    "lunch with Noor",
    "car inspection",
    "piano lesson",
    "budget review",
    "parents' evening",
)
PEOPLE = ("Ana", "Bruno", "Chen", "Dalia", "Emeka", "Farid", "Greta", "Hana")
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")


class Calendar:
    """Events of a week. Events have different titles."""

    def __init__(self, events: dict[str, dict[str, object]]):
        self.events = events

    def list_events(self, day: str) -> list[dict[str, object]]:
        """Returns the events of a day, sorted by time, with their titles.

        Args:
            day: day of the week, such as "Monday".
        """
        found = [{"title": title, **event} for title, event in self.events.items() if event["day"] == day]
        return sorted(found, key=lambda event: str(event["time"]))

    def add_event(self, title: str, day: str, time: str, minutes: int = 60) -> str:
        """Adds an event.

        Args:
            title: title of the event.
            day: day of the week, such as "Monday".
            time: start, such as "09:30".
            minutes: duration.
        """
        if title in self.events:
            raise ValueError(f"there is an event {title} already")
        self._check(day, time)
        self.events[title] = {"day": day, "time": time, "minutes": minutes, "guests": []}
        return "added"

    def move_event(self, title: str, day: str, time: str) -> str:
        """Moves an event to another day or time.

        Args:
            title: title of the event.
            day: new day of the week.
            time: new start, such as "09:30".
        """
        known(title, self.events, "event")
        self._check(day, time)
        self.events[title] |= {"day": day, "time": time}
        return "moved"

    def cancel_event(self, title: str) -> str:
        """Removes an event.

        Args:
            title: title of the event.
        """
        known(title, self.events, "event")
        del self.events[title]
        return "cancelled"

    def invite_guest(self, title: str, guest: str) -> str:
        """Invites a guest to an event.

        Args:
            title: title of the event.
            guest: name of the guest.
        """
        known(title, self.events, "event")
        guests = self.events[title]["guests"]
        assert isinstance(guests, list)
        if guest in guests:
            raise ValueError(f"{guest} is invited already")
        guests.append(guest)
        return "invited"

    def _check(self, day: str, time: str) -> None:
        if day not in DAYS:
            raise ValueError(f"{day} is not one of {', '.join(DAYS)}")
        check_time(time)


def state(rng: random.Random) -> dict[str, object]:
    """Returns a random initial state."""
    times = rng.sample([at(hour, minute) for hour in range(8, 18) for minute in (0, 30)], 3)
    return {
        "events": {
            title: {"day": rng.choice(DAYS), "time": time, "minutes": rng.choice([30, 45, 60]), "guests": []}
            for title, time in zip(rng.sample(TITLES, 3), times, strict=True)
        }
    }


def request(rng: random.Random, calendar: Calendar) -> Request:
    """Returns a request that the calendar can do now."""
    day, time, minutes = rng.choice(DAYS), at(rng.randint(8, 17), rng.choice([0, 15, 30])), rng.choice([30, 45, 90])
    free = [title for title in TITLES if title not in calendar.events]
    options = []
    if free:
        title = rng.choice(free)
        options.append(
            Request(
                f'Put "{title}" into my calendar on {day} at {time}, for {minutes} minutes.',
                [call("add_event", title=title, day=day, time=time, minutes=minutes)],
                vague=f'Put "{title}" into my calendar on {day}, for {minutes} minutes.',
                detail=f"At {time}.",
            )
        )
    if calendar.events:
        title = rng.choice(sorted(calendar.events))
        event = calendar.events[title]
        first = calendar.list_events(str(event["day"]))[0]
        guests = event["guests"]
        assert isinstance(guests, list)
        options += [
            Request(
                f'Move "{title}" to {day} at {time}.',
                [call("move_event", title=title, day=day, time=time)],
                vague=f'Move "{title}" to another time.',
                detail=f"To {day} at {time}.",
            ),
            Request(
                f'Take "{title}" out of my calendar.',
                [call("cancel_event", title=title)],
                vague="Take an event out of my calendar." if len(calendar.events) > 1 else "",
                detail=f'I mean "{title}".',
            ),
            Request(
                f"Look up what my first event on {event['day']} is, and when it starts.",
                [call("list_events", day=event["day"])],
                [str(first["title"]), str(first["time"])],
            ),
            Request(
                f"Look up what comes first on {event['day']}, and cancel it.",
                [call("list_events", day=event["day"]), call("cancel_event", title=first["title"])],
            ),
        ]
        if others := [person for person in PEOPLE if person not in guests]:
            guest = rng.choice(others)
            options.append(
                Request(
                    f'Invite {guest} to "{title}".',
                    [call("invite_guest", title=title, guest=guest)],
                    vague=f'Invite a guest to "{title}".',
                    detail=f"{guest}, please.",
                )
            )
    return rng.choice(options)
