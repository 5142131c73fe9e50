import ast
import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tenfold
from tenfold import core
from tenfold.core import Completion, Sampling, UserError, sample_seed
from tenfold.disk import storable
from tenfold.responses import without_thinking


@given(st.integers(), st.text(), st.integers(min_value=0))
def test_sample_seeds_are_distinct_and_exact_in_json(base: int, key: str, sample: int) -> None:
    seed = sample_seed(base, key, sample)
    assert seed == sample_seed(base, key, sample)
    assert 0 <= seed < 2**53
    assert (
        len(
            {seed, sample_seed(base, key, sample + 1), sample_seed(base + 1, key, sample), sample_seed(base, key + "x", sample)}
        )
        == 4
    )


@pytest.mark.parametrize(
    ("text", "judged"),
    [
        ("So the answer is 1", ""),
        ("We add them. So the answer is 1", "We add them."),
        ("The answer is 10.5", ""),
        ("4 + 5 = 9\nSo it is 9\nor per", "4 + 5 = 9\nSo it is 9\n"),
        ("#### 1", ""),
        ("Two points.\n1. It is 5.\n2. Now we", "Two points.\n1. It is 5.\n"),
        ("So it is: 1. 2. 3. 4", "So it is: 1."),
        ("1. We add.\n2.\n", "1. We add.\n"),
        ("1. We add.\n2.\nNow we", "1. We add.\n"),
        ("So it is:\n\n42.\n\nNow we", "So it is:\n\n42.\n\n"),
        (r"It is \boxed{12}. And as to why, that is 1", r"It is \boxed{12}. And as to why, that is 1"),
        (r"I put it in \boxed{}. It is 1", r"I put it in \boxed{}."),
        ("<answer>12</answer> And as to why, that is 1", "<answer>12</answer> And as to why, that is 1"),
        (r"<think>\boxed{12}? No.</think>So it is 1", "<think>\\boxed{12}?"),
        (r"<think>\boxed{12}? No.</think>It is \boxed{7}. So", r"<think>\boxed{12}? No.</think>It is \boxed{7}. So"),
        ("<answer>1", ""),
        ("First we add:\n\\[7 + 2 = 9\\]\n\\[9 - 4 = ", "First we add:\n"),
        ("First we add:\n\\[\n7 + 2 = 9\n\\]\n\n\\[\n9 - 4 = ", "First we add:\n\\[\n7 + 2 = 9\n\\]\n\n\\[\n"),
        ("7 + 2 = 9\n\n9 - 4 =", ""),
        ("Step 1: 7 + 2 = 9\n\nStep 2: 9 -", ""),
        ("First, 7 + 2 = 9. Then 9 - 4 = 5. Then", ""),
        ("5 \\times 4 = 20\n20 + ", ""),
        ("(2+3)*4=20\n20", ""),
        ("So 7 + 2 = 9. As a ch", "So 7 + 2 = 9."),
        ("Ans: 12 - 5 = 7 apples. We hope", "Ans: 12 - 5 = 7 apples."),
        ("It is B, because 2 + 2 = 4. I hope", "It is B, because 2 + 2 = 4."),
        ("The probability is 2 / 3. This is bec", "The probability is 2 / 3."),
        ("The speed of light is 3 × 10^8 m/s. That is", "The speed of light is 3 × 10^8 m/s."),
        ("The date is 12 - 05 - 2024. It", "The date is 12 - 05 - 2024."),
        ("7 + 2 = 9\n", "7 + 2 = 9\n"),
        ("x = 2 + 3\nprint(", "x = 2 + 3\n"),
        ("a, b = 3 - 1, 2\n2", "a, b = 3 - 1, 2\n"),
        ("int x = 3 - 1;\n2", "int x = 3 - 1;\n"),
        ('d["k"] = 3 - 1\n2', 'd["k"] = 3 - 1\n'),
        ("```python\nreturn [\n2 + 3,\n4]\npr", "```python\nreturn [\n2 + 3,\n4]\n"),
        ("It takes 2-3 days. Then", "It takes 2-3 days."),
    ],
)
def test_only_whole_sentences_of_a_truncated_text_are_judged(text: str, judged: str) -> None:
    assert Completion(text, "length").scorable_text == judged
    assert Completion(text, "stop").scorable_text == text


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"temperature": -1.0}, "temperature: expected a finite number of at least 0, got -1.0"),
        ({"temperature": float("nan")}, "temperature: .* got nan"),
        ({"temperature": float("inf")}, "temperature: .* got inf"),
        ({"top_p": 0.0}, "top_p: expected a number above 0 and at most 1, got 0.0"),
        ({"top_p": 1.5}, "top_p: .* got 1.5"),
        ({"top_k": 0}, "top_k: expected 1 or more, got 0"),
        ({"stop": ("END", "")}, "stop: an empty text ends each sample at its start"),
    ],
)
def test_sampling_settings_without_a_distribution_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        Sampling(**settings)


@given(st.text(alphabet="ab1.!? \n\\{}", max_size=40), st.integers(0, 40))
def test_the_scorable_part_of_a_truncated_text_is_a_prefix(text: str, at: int) -> None:
    judged = Completion(text[:at], "length").scorable_text
    assert text.startswith(judged)


@pytest.mark.parametrize(
    ("response", "judged"),
    [
        ("No reasoning. It is 5.", "No reasoning. It is 5."),
        ("<think>\n4? No.\n</think>\nIt is 5.", "\nIt is 5."),
        ("4? No.\n</think>\nIt is 5.", "\nIt is 5."),
        ("<think>a</think>So 4.<think>b</think>It is 5.", "It is 5."),
        ("<think>\nIt is 5.", ""),
        ("<think>a</think>It is 4.<think>no, 5", ""),
        ("[THINK]a[/THINK]It is 5.", "It is 5."),
        ("<reasoning>\nIt is 5.", ""),
        ("<|channel|>analysis<|message|>4? No.assistant<|channel|>final<|message|>It is 5.", "It is 5."),
        ("<|channel|>analysis<|message|>It is 5.", ""),
        ("<|channel|>final<|message|>It is 5.", "It is 5."),
    ],
)
def test_only_text_after_closed_reasoning_is_judged(response: str, judged: str) -> None:
    assert without_thinking(response) == judged


DRAFTS = {
    "math": ("5", r"\boxed{5}"),
    "choice": ({"letter": "C", "options": ["one", "two", "three"]}, "The answer is C."),
    "code": ({"entry_point": "f", "calls": [{"arguments": [1], "output": 1}]}, "```python\ndef f(x):\n    return x\n```"),
    "function_calls": ({"functions": [{"name": "f", "parameters": {"properties": {}}}], "calls": [{"f": {}}]}, "[f()]"),
    "instructions": ({"instructions": ["punctuation:no_comma"]}, "Yes."),
}


@pytest.mark.parametrize("verifier", DRAFTS)
def test_every_verifier_ignores_drafts_in_truncated_reasoning(verifier: str, request: pytest.FixtureRequest) -> None:
    if verifier == "code":
        request.getfixturevalue("sandboxed")
    gold, draft = DRAFTS[verifier]
    assert tenfold.verify(gold, draft, verifier).score == 1
    assert tenfold.verify(gold, f"<think>\n{draft}\n</think>\n{draft}", verifier).score == 1
    assert tenfold.verify(gold, f"<think>\n{draft}\nBut wait", verifier).score == 0


CALL = '<|channel|>commentary to=functions.f <|constrain|>json<|message|>{"x": 1}<|call|>'


@pytest.mark.parametrize(
    ("response", "judged"),
    [
        ("<|channel|>analysis<|message|>5?<|end|><|start|>assistant<|channel|>final<|message|>It is 5.", "It is 5."),
        ("<|channel|>analysis<|message|>It is 5.", ""),
        ("<|channel|>commentary<|message|>I will say 5.", ""),
        (CALL, CALL),
        (f"<|channel|>analysis<|message|>5?<|end|><|start|>assistant{CALL}", f"<|start|>assistant{CALL}"),
        (f"<|channel|>analysis<|message|>5?assistant{CALL}", f"assistant{CALL}"),
        (f"<|channel|>analysis<|message|>5?assistant to=functions.f{CALL}", f"assistant to=functions.f{CALL}"),
        ("<|channel|>analysis<|message|>5?assistant<|channel|>commentary<|message|>I will say 5.", ""),
        ("<|channel|>analysis<|message|>5?<|end|><|channel|>final <|constrain|>json<|message|>[5]", "[5]"),
        ("<|channel|>analysis<|message|>5?assistant<|channel|>final json<|message|>[5]", "[5]"),
        ("<|channel|>analysis<|message|>So the final json is 5.", ""),
    ],
)
def test_the_final_channel_and_calls_of_gpt_oss_are_judged(response: str, judged: str) -> None:
    assert without_thinking(response) == judged


@given(
    st.recursive(
        st.text() | st.sampled_from(["\ud800", "a\udc00", "\ud83d\ude00"]) | st.integers(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_storable_replaces_surrogates_in_nested_data_and_keeps_types(value: object) -> None:
    stored = storable(value)
    json.dumps(stored, ensure_ascii=False).encode()
    assert storable(stored) == stored
    if "\\ud" not in json.dumps(value):
        assert stored == value


def test_every_field_of_the_public_types_is_documented() -> None:
    names = ("Problem", "Verdict", "Part", "Sampling", "Completion", "Episode")
    tree = ast.parse(Path(str(core.__file__)).read_text(encoding="utf-8"))
    for type in [each for each in tree.body if isinstance(each, ast.ClassDef) and each.name in names]:
        for field, following in itertools.pairwise([*type.body, ast.Pass()]):
            if isinstance(field, ast.AnnAssign):
                assert isinstance(following, ast.Expr), f"{type.name}.{ast.unparse(field.target)} has no docstring"
