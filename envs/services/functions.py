"""The functions of a service: its public methods, with a JSON Schema from their signatures and docstrings.

    class Lights:
        '''The lights of a house.'''

        def __init__(self, on: dict[str, bool]):
            self.on = on

        def switch(self, room: str, on: bool) -> str:
            '''Switches the light of a room.

            Args:
                room: name of the room.
                on: true to switch it on.
            '''
            if room not in self.on:
                raise ValueError(f"there is no room {room}")
            self.on[room] = on
            return "done"

A service is a class of this kind. The state consists of the attributes without a leading underscore. They and all results must
be JSON data. The arguments of the constructor are the initial state. A method raises ValueError, LookupError or ArithmeticError
to refuse a call. Its message is the result. Methods must not read a clock, a file or random numbers, because the calls of the
gold answer are executed again for each episode.
"""

import functools
import inspect
import re
import typing
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic.errors import PydanticSchemaGenerationError, PydanticUserError

from ...core import UserError

_ARGUMENTS = re.compile(r"^Args:[ \t]*\n((?:[ \t]+\S.*\n?|[ \t]*\n)+)", re.MULTILINE)
_SECTION = re.compile(r"^(?:Args|Returns|Raises|Yields):", re.MULTILINE)
_ARGUMENT = re.compile(r"^[ ]{4}(\w+):[ ]*(.*(?:\n[ ]{5,}\S.*)*)", re.MULTILINE)


@dataclass(frozen=True)
class ServiceFunction:
    """A method of a service that a policy may call."""

    name: str
    description: str
    arguments: type[BaseModel]
    """The arguments, with their types and descriptions."""

    @functools.cached_property
    def properties(self) -> dict[str, dict[str, object]]:
        """The properties of the parameters, as in JSON Schema."""
        declared = self.arguments.model_json_schema().get("properties", {})
        return {name: {key: value for key, value in part.items() if key != "title"} for name, part in declared.items()}

    @functools.cached_property
    def schema(self) -> dict[str, object]:
        """The function in the form of the option `tools` of chat templates and of OpenAI's API."""
        declared = self.arguments.model_json_schema()
        kept: dict[str, object] = {name: declared[name] for name in ("required", "$defs") if name in declared}
        parameters = {"type": "object", "properties": self.properties, **kept}
        return {"type": "function", "function": {"name": self.name, "description": self.description, "parameters": parameters}}

    @functools.cached_property
    def line(self) -> str:
        """The function as a short line: its name, the types of its parameters, and its description."""
        types = ", ".join(f"{name}: {part.get('type', 'any')}" for name, part in self.properties.items())
        return f"{self.name}({types}): {self.description}"

    def read(self, arguments: Mapping[str, object]) -> dict[str, object]:
        """Returns the arguments of a call. Types are not converted, except that an integer is a number.

        Raises:
            ValueError: an argument is missing, unknown or of another type. The message is one line.
        """
        try:
            read = self.arguments.model_validate(dict(arguments))
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False, include_input=False)[0]
            place = ".".join(map(str, first["loc"])) or "arguments"
            raise ValueError(f"{place}: {first['msg']}") from None
        return {name: getattr(read, name) for name in type(read).model_fields}


@functools.cache
def functions_of(service: type) -> Mapping[str, ServiceFunction]:
    """Returns the functions of a service by name, in the order of their definition.

    Raises:
        UserError: there are none, or a method has no docstring or a parameter without a type.
    """
    found: dict[str, ServiceFunction] = {}
    for name in dict.fromkeys(name for base in reversed(service.__mro__[:-1]) for name in vars(base)):
        method = inspect.getattr_static(service, name)
        if not name.startswith("_") and inspect.isfunction(method):
            found[name] = _function(service, name, getattr(service, name))
    if not found:
        raise UserError(f"{service.__name__} has no public methods: a service needs at least one")
    return found


def _function(service: type, name: str, method: object) -> ServiceFunction:
    place = f"{service.__name__}.{name}"
    text = inspect.getdoc(method)
    if not text:
        raise UserError(f"{place} has no docstring: say there what the function does, with a section Args")
    assert callable(method)
    try:
        types = typing.get_type_hints(method)
    except (NameError, TypeError) as error:
        raise UserError(f"{place}: a type cannot be read: {error}") from None
    described = _descriptions(text)
    fields: dict[str, typing.Any] = {}
    for parameter in list(inspect.signature(method).parameters.values())[1:]:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD) or parameter.name not in types:
            raise UserError(f"{place}: the parameter {parameter.name} needs a type and must not be * or **")
        default = ... if parameter.default is parameter.empty else parameter.default
        fields[parameter.name] = (types[parameter.name], Field(default, description=described.get(parameter.name)))
    description = " ".join(_SECTION.split(text)[0].split())
    try:
        arguments = create_model(name, __config__=ConfigDict(extra="forbid", strict=True), **fields)
    except (PydanticUserError, PydanticSchemaGenerationError, NameError) as error:
        raise UserError(f"{place}: {' '.join(str(error).split())[:200]}") from None
    return ServiceFunction(name, description, arguments)


def _descriptions(text: str) -> dict[str, str]:
    """Returns the descriptions of parameters from the section Args of a docstring."""
    section = _ARGUMENTS.search(text + "\n")
    return {name: " ".join(described.split()) for name, described in _ARGUMENT.findall(section[1] if section else "")}
