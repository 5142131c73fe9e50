"""The prompt formats of BFCL-V4's format sensitivity: 26 configurations, and functions as documentation in Python and XML."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Declaration = Mapping[str, Any]
"""The declaration of a function, or of a parameter."""

_PYTHON_TYPES = {"string": "str", "number": "float", "integer": "int", "boolean": "bool"}


@dataclass(frozen=True, slots=True)
class Configuration:
    """A prompt format. The defaults are those of the other categories."""

    returns: str = "python"
    """Format of the calls: python, json, verbose_xml or concise_xml."""
    tagged: bool = False
    """The calls must be inside <TOOLCALL>...</TOOLCALL>."""
    documentation: str = "json"
    """Format of the functions: python, xml or json."""
    layout: str = "plaintext"
    """plaintext or markdown."""
    style: str = "classic"
    """Wording: classic or experimental."""

    @property
    def name(self) -> str:
        """The leaderboard's name of the configuration."""
        parts = {
            "ret_fmt": self.returns,
            "tool_call_tag": self.tagged,
            "func_doc_fmt": self.documentation,
            "prompt_fmt": self.layout,
            "style": self.style,
        }
        return "&".join(f"{key}={value}" for key, value in parts.items())


DEFAULT = Configuration()
CONFIGURATIONS = (
    *(
        Configuration(returns, tagged, documentation)
        for returns in ("python", "json", "verbose_xml", "concise_xml")
        for tagged in (True, False)
        for documentation in ("python", "xml", "json")
    ),
    Configuration(layout="markdown"),
    Configuration(style="experimental"),
)
"""The leaderboard's configurations in its order."""


def documentation(functions: Sequence[Declaration], form: str) -> str:
    """Returns the declarations of functions as text.

    Args:
        functions: the declarations.
        form: python, xml or json.
    """
    if form == "json":
        return json.dumps([*functions], indent=4)
    if form == "xml":
        return "\n".join(_function_in_xml(function) for function in functions)
    return "\n\n".join(part for function in functions for part in (_function_in_python(function), "\n"))


def _described(part: Declaration) -> str:
    """Returns the description of a parameter with its accepted values."""
    values = f" Enum values: {part['enum']}." if "enum" in part else ""
    return f"{part.get('description', '')}{values}"


def _function_in_python(function: Declaration) -> str:
    properties = (function.get("parameters") or {}).get("properties") or {}
    lines = [f"# Function: {function['name']}", '    """', f"    {function.get('description', '')}", ""]
    if properties:
        lines += ["    Args:", *_lines_in_python(properties, " " * 8)]
    return "\n".join([*lines, '    """', ""])


def _lines_in_python(properties: Mapping[str, Declaration], indent: str) -> Iterator[str]:
    for name, part in properties.items():
        default = f", default={part['default']!r}" if "default" in part else ""
        yield f"{indent}{name} ({_python_type(part)}{default}): {_described(part)}"
        yield from _lines_in_python(part.get("properties") or {}, indent + " " * 4)


def _python_type(part: Declaration) -> str:
    kind = str(part.get("type", "string"))
    if kind in ("array", "list", "tuple") and "items" in part:
        return f"list[{_python_type(part['items'])}]"
    if kind in ("object", "dict"):
        return f"dict[str, {_python_type(part['additionalProperties'])}]" if "additionalProperties" in part else "dict"
    return _PYTHON_TYPES.get(kind, kind)


def _function_in_xml(function: Declaration) -> str:
    parameters = function["parameters"]
    lines = [
        f'<function name="{function["name"]}">',
        f"  <desc>{function.get('description', '')}</desc>",
        "  <params>",
        *_lines_in_xml(parameters.get("properties") or {}, parameters.get("required"), " " * 4),
        "  </params>",
        "</function>",
        "",
    ]
    return "\n".join(lines)


def _lines_in_xml(properties: Mapping[str, Declaration], required: Sequence[str] | None, indent: str) -> Iterator[str]:
    """Yields the lines of parameters. Without a list of the required ones, all are required."""
    for name, part in properties.items():
        kind = part.get("type", "string")
        if "type" in part.get("items", {}):
            kind = f"{kind}[{part['items']['type']}]"
        elif "additionalProperties" in part:
            kind = f"{kind}[{part['additionalProperties'].get('type', 'string')}]"
        is_required = "true" if required is None or name in required else "false"
        default = f' default="{part["default"]!r}"' if "default" in part else ""
        attributes = f'name="{name}" type="{kind}" required="{is_required}"{default}'.replace(",", "")  # as on the leaderboard
        yield f"{indent}<param {attributes}>"
        yield f"{indent}  <desc>{_described(part)}</desc>"
        if "properties" in part:
            yield f"{indent}  <params>"
            yield from _lines_in_xml(part["properties"], part.get("required"), indent + " " * 4)
            yield f"{indent}  </params>"
        yield f"{indent}</param>"
