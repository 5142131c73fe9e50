"""Values keep their types. The memory that a message takes is estimated before the message is parsed."""

import json
import struct
import tracemalloc
import types
from typing import Any

import numpy as np
import pytest

from tenfold.verifiers.sandbox import Call, LocalSandbox, RunStatus
from tenfold.verifiers.sandbox.inside import wire

MANY = 20_000
VALUES: dict[str, Any] = {
    "integers": list(range(1000, 1000 + MANY)),
    "small integers": [5] * MANY,
    "fractions": [number / 7 for number in range(MANY)],
    "truths": [True, False, None] * MANY,
    "empty lists": [[]] * MANY,
    "empty objects": [{}] * MANY,
    "tuples": [wire.encode((number, number)) for number in range(MANY)],
    "dictionary": wire.encode({str(number): number for number in range(MANY)}),
    "lists in lists": [[[[[]]]]] * MANY,
    "objects in objects": [{"a": {"b": {"c": 1}}}] * MANY,
    "short texts": [f"x{number}" for number in range(MANY)],
    "one text": "x" * MANY * 10,
    "one text with a letter of another kind": "x" * MANY * 10 + "\U0001f600",
    "a text of brackets": "[,{" * MANY,
    "a text of quotes": '"\\' * MANY,
    "long integers": [10**300 + number for number in range(500)],
}


@pytest.mark.parametrize("name", VALUES)
def test_the_estimated_size_is_close_to_the_memory_used(name: str) -> None:
    body = json.dumps({"value": VALUES[name]}).encode()
    tracemalloc.start()
    built = json.loads(body)
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert built
    assert 0.9 * taken <= wire.estimated_bytes(body) <= 5 * taken


@pytest.mark.parametrize("unit", [b"[],", b"{},", b"[[[]]],", b'{"a":0},', b'"a",', b"1e5,", b'"\\u1234",', b'"\\"",'])
def test_a_value_that_would_be_too_large_is_refused_before_it_is_constructed(unit: bytes) -> None:
    body = b'{"value":[' + unit * (MANY * 20 // len(unit)) + b"0]}"
    buffer = bytearray(struct.pack("<I", len(body)) + body)
    tracemalloc.start()
    with pytest.raises(ValueError, match="values of about"):
        wire.unpack(buffer, 1 << 20)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * len(body)  # the message itself, without values


def test_a_message_outside_ascii_is_malformed() -> None:
    body = '{"value": "é"}'.encode()
    with pytest.raises(ValueError, match="ASCII"):
        wire.unpack(bytearray(struct.pack("<I", len(body)) + body), 1 << 20)
    packed = bytearray(wire.pack({"value": "é"}))
    assert wire.unpack(packed, 1 << 20) == ({"value": "é"}, wire.estimated_bytes(wire.pack({"value": "é"})[4:]))


@pytest.mark.parametrize(
    "value", [type(None), types.FunctionType, dict, {1: (2.5, {b"x"})}, 1 << 70, 1j], ids=lambda value: str(value)[:20]
)
def test_a_value_survives_the_channel(value: object) -> None:
    assert wire.decode(json.loads(json.dumps(wire.encode(value)))) == value


def test_a_class_that_no_program_can_name_becomes_its_name() -> None:
    assert [wire.decode({"type": name}) for name in ("list_iterator", "__import__")] == ["<list_iterator>", "<__import__>"]


@pytest.mark.parametrize("kind", ["float16", "float32", "longdouble", "clongdouble", "int8", "bool_", "str_"])
def test_numbers_of_numpy_become_those_of_python(kind: str) -> None:
    value, plain = getattr(np, kind)(1), {"f": 1.0, "c": 1 + 0j, "i": 1, "b": True, "U": "1"}[np.dtype(kind).kind]
    assert wire.encode(value) == wire.encode(np.array(value)) == wire.encode(plain)
    assert type(wire.encode(value)) is type(wire.encode(plain))


@pytest.mark.usefixtures("sandboxed")
def test_forged_large_replies_exceed_the_output_limit() -> None:
    sandbox = LocalSandbox(workers=1)
    program = (
        "import os, struct\ndef f():\n    body = b'{\"value\":[' + b'[],' * (1 << 20) + b'0]}'\n"
        "    body = struct.pack('<I', len(body)) + body\n    while body: body = body[os.write(3, body):]\n"
    )
    outcome = sandbox.run(program, [Call("f")])
    assert (outcome.status, outcome.results) == (RunStatus.OUTPUT, ())
    assert "values of about" in outcome.reason
    honest = sandbox.run("def f(): return list(range(200_000)), 'é' * 100_000", [Call("f")]).results[0].value
    assert honest == {"tuple": [list(range(200_000)), "é" * 100_000]}
    sandbox.close()
