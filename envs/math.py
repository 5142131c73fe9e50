"""Mathematics environments: arithmetic from reasoning-gym's generators, grade-school word problems from the hub."""

from typing import Any

ENVIRONMENTS: dict[str, dict[str, Any]] = {
    "tenfold/ChainSum-v0": {
        "problems": "reasoning_gym:chain_sum?part=train&size=2000&min_terms=2&max_terms=3&min_digits=1&max_digits=2",
        "verifier": "math",
    },
    "tenfold/BasicArithmetic-v0": {
        "problems": "reasoning_gym:basic_arithmetic?part=train&size=500&min_terms=2&max_terms=2&min_digits=1&max_digits=1",
        "verifier": "math",
    },
    "tenfold/GSM8K-v0": {
        "problems": "hf:openai/gsm8k?name=main&split=train&answer_after=%23%23%23%23",
        "verifier": "math",
        "template": "{prompt}\n\nReason step by step and put the final answer in \\boxed{}.",
    },
}
