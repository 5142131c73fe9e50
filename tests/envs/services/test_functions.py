"""The schema of a service's functions, and the arguments that they accept."""

from typing import Any, Literal

import pytest

from tenfold import UserError
from tenfold.envs.services.functions import functions_of
from tenfold.envs.services.session import Session, difference
from tenfold.verifiers.calls.call import ParsedCall


class Lights:
    """The lights of a house."""

    def __init__(self, on: dict[str, bool]):
        self.on = on
        self._asked = 0

    def switch(self, room: str, on: bool, tone: Literal["warm", "cold"] = "warm", after: float = 0) -> str:
        """Switches the light of a room.

        The light changes at once.

        Args:
            room: name of the room,
                as in the plan.
            on: true to switch it on.
            tone: its colour.
            after: seconds to wait.
        """
        if room not in self.on:
            raise ValueError(f"there is no room {room}")
        self.on[room] = on
        return tone

    def rooms(self) -> list[str]:
        """Returns the rooms."""
        self._asked += 1
        return list(self.on)

    def broken(self) -> str:
        """Fails."""
        raise AttributeError

    def _hidden(self) -> None: ...


def session() -> Session:
    return Session({"lights": Lights}, {"lights": {"on": {"hall": False}}})


def call(name: str, **arguments: object) -> tuple[str, bool]:
    lights = session()
    result = lights.call(ParsedCall(name, arguments), list(lights.functions))
    return result.text, result.is_error


def test_schema_comes_from_signature_and_docstring() -> None:
    assert list(functions_of(Lights)) == ["switch", "rooms", "broken"]
    assert functions_of(Lights)["switch"].schema == {
        "type": "function",
        "function": {
            "name": "switch",
            "description": "Switches the light of a room. The light changes at once.",
            "parameters": {
                "type": "object",
                "properties": {
                    "room": {"type": "string", "description": "name of the room, as in the plan."},
                    "on": {"type": "boolean", "description": "true to switch it on."},
                    "tone": {"type": "string", "enum": ["warm", "cold"], "default": "warm", "description": "its colour."},
                    "after": {"type": "number", "default": 0, "description": "seconds to wait."},
                },
                "required": ["room", "on"],
            },
        },
    }
    assert functions_of(Lights)["rooms"].line == "rooms(): Returns the rooms."


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"room": "hall"}, "on: Field required"),
        ({"room": "hall", "on": "true"}, "on: Input should be a valid boolean"),
        ({"room": "hall", "on": 1}, "on: Input should be a valid boolean"),
        ({"room": 5, "on": True}, "room: Input should be a valid string"),
        ({"room": "hall", "on": True, "tone": "red"}, "tone: Input should be 'warm' or 'cold'"),
        ({"room": "hall", "on": True, "colour": "red"}, "colour: Extra inputs are not permitted"),
        ({"room": "cellar", "on": True}, "there is no room cellar"),
    ],
)
def test_wrong_arguments_are_an_error_that_the_policy_sees(arguments: dict[str, Any], words: str) -> None:
    text, is_error = call("switch", **arguments)
    assert is_error
    assert words in text


def test_right_arguments_and_defaults_are_used() -> None:
    assert call("switch", room="hall", on=True) == ('"warm"', False)
    assert call("switch", room="hall", on=True, tone="cold", after=1) == ('"cold"', False)
    assert call("rooms") == ('["hall"]', False)
    assert call("lights") == ('{"error": "there is no function lights"}', True)
    assert call("_hidden") == ('{"error": "there is no function _hidden"}', True)
    assert call("__init__", on={}) == ('{"error": "there is no function __init__"}', True)


def test_an_error_of_the_service_itself_is_raised() -> None:
    with pytest.raises(AttributeError):
        call("broken")


def test_state_is_that_of_public_attributes_and_is_not_shared() -> None:
    on = {"hall": False}
    lights = Session({"lights": Lights}, {"lights": {"on": on}})
    lights.call(ParsedCall("switch", {"room": "hall", "on": True}), ["switch"])
    lights.call(ParsedCall("rooms", {}), ["rooms"])
    assert lights.state() == {"lights": {"on": {"hall": True}}}
    assert on == {"hall": False}


def test_two_services_with_one_function_name_are_refused() -> None:
    with pytest.raises(UserError, match="the services lights and others both have a function switch"):
        Session({"lights": Lights, "others": Lights}, {"lights": {"on": {}}, "others": {"on": {}}})


@pytest.mark.parametrize(
    ("state", "words"),
    [({"cellar": {}}, "there is no service 'cellar'"), ({"lights": {"rooms": []}}, "the service lights cannot be created")],
)
def test_unknown_services_and_states_are_refused(state: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        Session({"lights": Lights}, state)


def test_a_class_without_described_functions_is_refused() -> None:
    class Silent:
        def switch(self, room: str) -> str:
            return room

    class Untyped:
        def switch(self, room):  # type: ignore[no-untyped-def]
            """Switches."""

    class Empty:
        pass

    for service, words in (
        (Silent, "Silent.switch has no docstring"),
        (Untyped, "the parameter room needs a type"),
        (Empty, "Empty has no public methods"),
    ):
        with pytest.raises(UserError, match=words):
            functions_of(service)


@pytest.mark.parametrize(
    ("expected", "actual", "words"),
    [
        ({"a": {"b": 1}}, {"a": {"b": 2}}, "a.b is 2 instead of 1"),
        ({"a": 1}, {"a": True}, "a is True instead of 1"),
        ({"a": 1}, {"a": "1"}, "a is '1' instead of 1"),
        ({"a": 1}, {}, "a is missing"),
        ({}, {"a": 1}, "a is new"),
        ({"a": [1, 2]}, {"a": [1]}, "a has 1 items instead of 2"),
        ({"a": [1, 2]}, {"a": [2, 1]}, "a[0] is 2 instead of 1"),
        ({"a": 1, "b": [{}]}, {"a": 1.0, "b": [{}]}, None),
    ],
)
def test_first_difference_of_two_states_is_named(expected: object, actual: object, words: str | None) -> None:
    assert difference(expected, actual) == words
