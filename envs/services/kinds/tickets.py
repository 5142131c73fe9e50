"""Support tickets of a company."""

import random

from .request import Request, call, known

SUBJECTS = (
    "printer does not start",
    "screen flickers",
    "password expired",
    "slow network",
    "keyboard is broken",
    "no sound in calls",
)
AGENTS = ("Amir", "Bella", "Carlos", "Dana", "Elif")
PRIORITIES = ("low", "normal", "high")


class Tickets:
    """Tickets by number."""

    def __init__(self, tickets: dict[str, dict[str, object]]):
        self.tickets = tickets

    def find_tickets(self, status: str) -> list[dict[str, object]]:
        """Returns the tickets with a status.

        Args:
            status: open or closed.
        """
        if status not in ("open", "closed"):
            raise ValueError("the status is open or closed")
        return [{"ticket": number, **ticket} for number, ticket in self.tickets.items() if ticket["status"] == status]

    def open_ticket(self, subject: str, priority: str) -> str:
        """Opens a ticket. Returns its number.

        Args:
            subject: what the ticket is about.
            priority: low, normal or high.
        """
        self._check(priority)
        number = f"T{len(self.tickets) + 1}"
        self.tickets[number] = {"subject": subject, "priority": priority, "status": "open", "agent": None}
        return number

    def assign_ticket(self, ticket: str, agent: str) -> str:
        """Gives a ticket to an agent.

        Args:
            ticket: number of the ticket, such as "T1".
            agent: first name of the agent.
        """
        known(ticket, self.tickets, "ticket")
        self.tickets[ticket]["agent"] = agent
        return "assigned"

    def set_priority(self, ticket: str, priority: str) -> str:
        """Changes the priority of a ticket.

        Args:
            ticket: number of the ticket, such as "T1".
            priority: low, normal or high.
        """
        known(ticket, self.tickets, "ticket")
        self._check(priority)
        self.tickets[ticket]["priority"] = priority
        return "changed"

    def close_ticket(self, ticket: str) -> str:
        """Closes a ticket.

        Args:
            ticket: number of the ticket, such as "T1".
        """
        known(ticket, self.tickets, "ticket")
        if self.tickets[ticket]["status"] == "closed":
            raise ValueError(f"the ticket {ticket} is closed already")
        self.tickets[ticket]["status"] = "closed"
        return "closed"

    def _check(self, priority: str) -> None:
        if priority not in PRIORITIES:
            raise ValueError(f"the priority is one of {', '.join(PRIORITIES)}")


def state(rng: random.Random) -> dict[str, object]:
    """Returns a random initial state."""
    return {
        "tickets": {
            f"T{number}": {"subject": subject, "priority": rng.choice(PRIORITIES), "status": "open", "agent": None}
            for number, subject in enumerate(rng.sample(SUBJECTS, 3), start=1)
        }
    }


def request(rng: random.Random, tickets: Tickets) -> Request:
    """Returns a request that can be done now."""
    ticket, agent, priority, subject = (
        rng.choice(sorted(tickets.tickets)),
        rng.choice(AGENTS),
        rng.choice(PRIORITIES),
        rng.choice(SUBJECTS),
    )
    about = str(tickets.tickets[ticket]["subject"])
    options = [
        Request(
            f'Open a ticket "{subject}" with the priority {priority}.',
            [call("open_ticket", subject=subject, priority=priority)],
            vague="Open a ticket.",
            detail=f'It is about "{subject}", with the priority {priority}.',
        )
    ]
    if tickets.tickets[ticket]["agent"] != agent:
        options.append(
            Request(
                f"Give {ticket} to {agent}.",
                [call("assign_ticket", ticket=ticket, agent=agent)],
                vague=f"Assign {ticket}.",
                detail=f"{agent} should do it.",
            )
        )
    if tickets.tickets[ticket]["priority"] != priority:
        options.append(
            Request(
                f"Change the priority of {ticket} to {priority}.",
                [call("set_priority", ticket=ticket, priority=priority)],
                vague=f"Change the priority of {ticket}.",
                detail=f"To {priority}.",
            )
        )
    if tickets.tickets[ticket]["status"] == "open":
        options.append(
            Request(
                f"Close the ticket {ticket}.",
                [call("close_ticket", ticket=ticket)],
                vague="Close a ticket." if len(tickets.find_tickets("open")) > 1 else "",
                detail=f"I mean {ticket}.",
            )
        )
        if sum(each["subject"] == about for each in tickets.tickets.values()) == 1:
            search = call("find_tickets", status="open")
            options += [
                Request(f'Look up the number of the open ticket "{about}".', [search], [ticket]),
                Request(f'Close the open ticket "{about}".', [search, call("close_ticket", ticket=ticket)]),
            ]
    return rng.choice(options)
