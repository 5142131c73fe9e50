"""`tenfold rollout`: plays episodes with a policy and stores them."""

import argparse
import sys

from ..core import Sampling, Status, UserError
from . import options
from .options import Commands


def add(commands: Commands) -> None:
    """Adds the command and its options."""
    command = commands.add_parser("rollout", help="play episodes with a policy and store them")
    options.environment(command)
    command.add_argument("--policy", required=True, help="URI of the policy; see `tenfold --help`")
    command.add_argument(
        "--samples", type=options.positive, default=16, help="episodes for each problem (default: %(default)s)"
    )
    command.add_argument("--problems", type=options.positive, help="number of problems, from the first (default: all)")
    command.add_argument("--temperature", type=float, default=1.0, help="sampling temperature (default: %(default)s)")
    command.add_argument("--top-p", type=float, default=1.0, help="nucleus sampling (default: %(default)s)")
    command.add_argument(
        "--max-tokens",
        type=options.positive,
        default=512,
        help="maximum number of tokens of an episode, over all turns (default: %(default)s)",
    )
    command.add_argument(
        "--max-turns",
        type=options.positive,
        help="maximum number of the policy's turns in an episode (default: the environment's max_episode_steps, or 16)",
    )
    command.add_argument("--seed", type=int, default=0, help="base seed (default: %(default)s)")
    command.add_argument("--out", help="JSONL file for the episodes (default: NAME.jsonl); an unfinished file is resumed")
    command.set_defaults(call=run, command="rollout")


def run(arguments: argparse.Namespace) -> None:
    """Plays episodes and stores them."""
    import functools

    from ..envs import identity, registry
    from ..envs.rollout import turn_limit
    from ..pipelines.recipe.report.display import Display
    from ..policies import load_policy
    from ..policies.identity import policy_identity
    from ..policies.rollout import pass_rate, rollout

    registry.find(arguments.id)
    out = arguments.out or f"{arguments.id.rpartition('/')[2]}.jsonl"
    sampling = Sampling(arguments.temperature, arguments.top_p, arguments.max_tokens, arguments.seed)
    display = Display()
    with display.stage(arguments.id) as progress:
        episodes = rollout(
            functools.partial(registry.make, arguments.id, **arguments.options),
            load_policy(arguments.policy),
            arguments.samples,
            problems=arguments.problems,
            sampling=sampling,
            max_turns=turn_limit(arguments.id, arguments.max_turns),
            store=out,
            store_settings={**policy_identity(arguments.policy), **identity.store_settings(arguments.id, arguments.options)},
            progress=progress,
        )
    mean = pass_rate(episodes)
    refused = sum(episode.verdict.method == "refused" for episode in episodes)
    undecided = sum(episode.verdict.status == Status.UNDECIDED for episode in episodes) - refused
    faults = [episode.verdict.reason for episode in episodes if episode.verdict.status == Status.FAULT]
    if len(faults) == len(episodes):
        raise UserError(f"none of {len(episodes)} episodes has a score, because of faults; the first: {faults[0]}")
    truncated = sum(episode.finish_reason == "length" for episode in episodes) / len(episodes)
    score = "none" if mean is None else f"{mean:.3f}"
    problems = len(episodes) // arguments.samples
    print(f"{len(episodes)} episodes of {problems} problems: mean score {score}, {truncated:.1%} truncated; in {out}")
    if refused:
        print(f"{refused} episodes have no score: the server of the policy or of the judge refused the prompt", file=sys.stderr)
    if undecided:
        print(f"{undecided} episodes have no score: their verdicts are undecided", file=sys.stderr)
    if faults:
        again = "run the same command to play them again"
        first = f" (the first: {faults[0]})" if faults[0] else ""
        print(f"{len(faults)} episodes have no score because of a fault{first}: {again}", file=sys.stderr)
