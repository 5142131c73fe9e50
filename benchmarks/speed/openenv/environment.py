"""An environment whose verdicts take no time."""

from ....envs import registry

ID = "speed/AtOnce-v0"


def at_once(answer: object, response: str) -> bool:
    """Returns a verdict at once."""
    return str(answer) in response


registry.register(ID, problems=[{"question": f"What is {n}?", "answer": n} for n in range(100)], verifier=at_once)
