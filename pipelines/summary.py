"""What a stage came to, in one line."""

from typing import Any

from . import scoreboard


def line(record: dict[str, Any]) -> str:
    """The line of a finished stage's record; empty for a kind that has none."""
    metrics = record["metrics"]
    match record["stage"]["kind"]:
        case "documents":
            passed_over = sum(sum(source["passed_over"].values()) for source in metrics["sources"])
            said = f", {passed_over:,} passed over" if passed_over else ""
            return f"{metrics['documents']:,} documents, {metrics['characters'] / 1e6:.1f} million characters{said}"
        case "clean":
            removed = ", ".join(f"{why} {count['documents']:,}" for why, count in metrics["removed"].items())
            return f"kept {metrics['kept']['documents']:,} of {metrics['given']['documents']:,} documents; removed {removed}"
        case "tag":
            means = ", ".join(f"{kind} {mean:.2f}" for kind, mean in metrics["rank_correlation"].items() if mean is not None)
            return f"{metrics['documents']:,} documents; rank correlation with the annotator: {means}"
        case "retrieve":
            return f"{metrics['found']:,} of {metrics['documents']:,} documents found by {metrics['seeds']:,} seeds"
        case "select":
            grades = ", ".join(f"{domain} {_graded(counted)}" for domain, counted in metrics["grades"].items())
            return f"{metrics['documents']:,} documents, high/medium/low: {grades}"
        case "tokenizer":
            return f"{metrics['vocabulary']:,} tokens, {metrics['characters_a_token']:.2f} characters each"
        case "mix":
            sources = ", ".join(f"{name} {count:,}" for name, count in metrics["sources"].items())
            return f"{metrics['tokens']:,} tokens: {sources}"
        case "pretrain":
            held_out = "".join(f", {name} {figures['loss']:.3f}" for name, figures in metrics["held_out"].items())
            return f"{metrics['steps']} steps, loss {metrics['loss']:.3f}; held out{held_out[1:] or ' nothing'}"
        case "sft":
            return f"{metrics['steps']} steps on {metrics['examples']} examples, loss {metrics['loss']:.3f}"
        case "refine":
            before, after = (f"{metrics[f'right_{when}'] or 0:.0%}" for when in ("before", "after"))
            return (
                f"{metrics['learnt']} of {metrics['instructions']} instructions to learn; right {before} before, {after} after"
            )
        case "draw_pairs":
            scores = f"student {metrics['student_score']:.3f}, teacher {metrics['teacher_score']:.3f} where it fails"
            return f"{metrics['pairs']} pairs of {metrics['problems']} problems; mean score: {scores}"
        case "distill":
            errors = _errors(metrics["held_out"])
            return f"{metrics['steps']} steps on {metrics['pairs']} pairs, loss {metrics['loss']:.3f}{errors}"
        case "filter":
            saved = f", {metrics['draws_saved']:.0%} of the draws saved" if metrics["draws_saved"] else ""
            refused = f", {metrics['refused']} draws refused" if metrics.get("refused") else ""
            kept = f"kept {metrics['kept']} of {metrics['problems']} problems, mean pass rate {metrics['pass_rate']:.3f}"
            return f"{kept}{saved}{refused}"
        case "grpo":
            faults = f", {metrics['faults']} faults" if metrics["faults"] else ""
            faults += f", {metrics['refused']} of them refused" if metrics.get("refused") else ""
            return f"{metrics['steps']} steps, reward {metrics['reward_first']:.3f} to {metrics['reward_last']:.3f}{faults}"
        case "reward_model":
            held_out = metrics.get("held_out", {}).get("trained")
            right = f", right on {_score(held_out['accuracy'])}" if held_out else ""
            return f"{metrics['steps']} steps on {metrics['pairs']} pairs, loss {metrics['loss']:.3f}{right}"
        case "synthesize":
            return f"tests for {metrics['written']} of {metrics['problems']} problems"
        case "bench":
            return "; ".join(f"{task}: {_score(score)}" for task, score in metrics["scores"].items())
        case "contrast":
            return "; ".join(f"{name} {_difference(found)}" for name, found in metrics["contrasts"].items())
    return ""


def _score(score: dict[str, Any]) -> str:
    return f"{scoreboard.interval(score)} avg@{score['draws']} on {score['problems']} problems"


def _errors(held_out: dict[str, Any]) -> str:
    if not held_out or not held_out["confident_errors"]:
        return ""
    before, after = (held_out[when]["confident_errors"] for when in ("before", "after"))
    return f"; held-out confident errors ({held_out['confident_errors']} tokens) from {before:.2f} to {after:.2f}"


def _graded(counted: dict[str, Any]) -> str:
    return "/".join(f"{counted[grade]['documents']:,}" for grade in ("high", "medium", "low"))


def _difference(found: dict[str, Any]) -> str:
    return f"{found['difference']:+.3f} [{found['low']:+.3f}, {found['high']:+.3f}] of {found['pairs']} seeds"
