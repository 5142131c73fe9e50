"""The lights, the heating and the blinds of a house."""

import random

from .request import Request, call, counted, known

ROOMS = ("kitchen", "bedroom", "office", "hall", "bathroom", "attic")


class Home:
    """Rooms with a light, a temperature to heat to, and blinds."""

    def __init__(self, rooms: dict[str, dict[str, object]]):
        self.rooms = rooms

    def room_status(self, room: str) -> dict[str, object]:
        """Returns whether the light of a room is on, its temperature in degrees, and whether its blinds are down.

        Args:
            room: name of the room.
        """
        known(room, self.rooms, "room")
        return self.rooms[room]

    def switch_light(self, room: str, on: bool) -> str:
        """Switches the light of a room.

        Args:
            room: name of the room.
            on: true to switch it on, false to switch it off.
        """
        known(room, self.rooms, "room")
        self.rooms[room]["light"] = on
        return "switched"

    def set_temperature(self, room: str, degrees: int) -> str:
        """Sets the temperature to which a room is heated.

        Args:
            room: name of the room.
            degrees: degrees Celsius, 5 to 28.
        """
        known(room, self.rooms, "room")
        if not 5 <= degrees <= 28:
            raise ValueError("the temperature is from 5 to 28 degrees")
        self.rooms[room]["degrees"] = degrees
        return "set"

    def move_blinds(self, room: str, down: bool) -> str:
        """Moves the blinds of a room.

        Args:
            room: name of the room.
            down: true to let them down, false to pull them up.
        """
        known(room, self.rooms, "room")
        self.rooms[room]["blinds_down"] = down
        return "moved"


def state(rng: random.Random) -> dict[str, object]:
    """Returns a random initial state."""
    return {
        "rooms": {
            room: {"light": rng.random() < 0.5, "degrees": rng.randint(15, 22), "blinds_down": rng.random() < 0.5}
            for room in rng.sample(ROOMS, 4)
        }
    }


def request(rng: random.Random, home: Home) -> Request:
    """Returns a request that can be done now."""
    room, other = rng.sample(sorted(home.rooms), 2)
    now, more = home.rooms[room], rng.randint(1, 4)
    degrees = int(str(now["degrees"]))
    target = rng.choice([each for each in range(14, 25) if each != degrees])
    is_on, is_down = bool(now["light"]), bool(now["blinds_down"])
    status = call("room_status", room=room)
    options = [
        Request(
            f"Switch the light in the {room} {'off' if is_on else 'on'}.",
            [call("switch_light", room=room, on=not is_on)],
            vague="Switch a light on or off for me.",
            detail=f"Switch the one in the {room} {'off' if is_on else 'on'}.",
        ),
        Request(
            f"Heat the {room} to {target} degrees.",
            [call("set_temperature", room=room, degrees=target)],
            vague=f"Set another temperature in the {room}.",
            detail=f"I want {target} degrees.",
        ),
        Request(
            f"{'Pull up' if is_down else 'Let down'} the blinds in the {room}.",
            [call("move_blinds", room=room, down=not is_down)],
        ),
        Request(
            f"Tell me how warm the {room} is set.", [status], [str(degrees)], "Tell me how warm a room is set.", f"The {room}."
        ),
    ]
    if degrees + more <= 28:
        options.append(
            Request(
                f"Make the {room} {counted(more, 'degree')} warmer than it is.",
                [status, call("set_temperature", room=room, degrees=degrees + more)],
            )
        )
    if home.rooms[other]["degrees"] != degrees:
        options.append(
            Request(
                f"Heat the {other} to the same temperature as the {room}.",
                [status, call("set_temperature", room=other, degrees=degrees)],
            )
        )
    return rng.choice(options)
