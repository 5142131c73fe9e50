"""What the corpus stages did, as tables for a run's page: how much of what, what was removed, with examples to judge by."""

import html
from collections.abc import Iterable, Sequence
from typing import Any

SNIPPET = 160
"""Characters of an example that are shown."""


def section(record: dict[str, Any]) -> str:
    """HTML for a finished stage's record; empty for other kinds of stage."""
    metrics, rows = record["metrics"], list[Sequence[Any]]()
    match record["stage"]["kind"]:
        case "documents":
            rows = [
                (source["source"], source["documents"], source["characters"], _counts(source["passed_over"]))
                for source in metrics["sources"]
            ]
            shares = ", ".join(f"{domain} {share:.1%}" for domain, share in metrics["shares"].items())
            return _table(("source", "documents", "characters", "passed over"), rows) + f"<p>Of all characters: {shares}</p>"
        case "clean":
            rows = [
                (why, count["documents"], count["characters"], _shown(count["examples"]))
                for why, count in metrics["removed"].items()
            ]
            return _table(("removed as", "documents", "characters", "examples"), rows)
        case "select":
            rows = [
                (domain, grade, count["documents"], count["characters"])
                for domain, grades in metrics["grades"].items()
                for grade, count in grades.items()
            ]
            examples = [(grade, _shown(shown)) for grade, shown in metrics["examples"].items()]
            return _table(("domain", "grade", "documents", "characters"), rows) + _table(("grade", "examples"), examples)
        case "mix":
            rows = [(name, count, metrics["held_out"].get(name, 0)) for name, count in metrics["sources"].items()]
            return _table(("source", "tokens", "held out"), rows)
        case "pretrain":
            rows = [
                (phase["name"], phase["steps"], source, count, f"{phase['passes'][source]:.2f}")
                for phase in metrics["phases"]
                for source, count in phase["tokens"].items()
            ]
            return _table(("phase", "steps", "source", "tokens", "passes by its end"), rows)
        case "contrast":
            rows = [
                (name, f"{found['of']:.4f}", f"{found['against']:.4f}", f"{found['difference']:+.4f}", _interval(found))
                for name, found in metrics["contrasts"].items()
            ]
            return _table(("figure", "of", "against", "difference", "95% interval over seeds"), rows)
    return ""


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    def cell(value: Any) -> str:
        return f"<td style='text-align:right'>{value:,}" if isinstance(value, int) else f"<td>{html.escape(str(value))}"

    body = "".join(f"<tr>{''.join(map(cell, row))}" for row in rows)
    return f"<table><tr>{''.join(f'<th>{name}' for name in head)}{body}</table>"


def _counts(counted: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counted.items())


def _shown(examples: Sequence[dict[str, Any]]) -> str:
    """The first words of some documents, with where they are from."""
    texts = [" ".join(str(one.get("text") or one.get("snippet", "")).split())[:SNIPPET] for one in examples[:3]]
    return " … ".join(f"{one.get('source', '')}: {text}" for one, text in zip(examples, texts, strict=False))


def _interval(found: dict[str, Any]) -> str:
    return f"[{found['low']:+.4f}, {found['high']:+.4f}] of {found['pairs']}"
