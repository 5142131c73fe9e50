import numpy as np
import pytest

from tenfold.benchmarks.judged import style


def test_style_control_removes_wins_by_length_and_keeps_wins_by_strength() -> None:
    generator = np.random.default_rng(0)
    features = np.column_stack([generator.uniform(0, 1, 4000), np.zeros((4000, 3))])
    by_length = (generator.random(4000) < 1 / (1 + np.exp(-3 * features[:, 0]))).astype(float)
    assert by_length.mean() > 0.75
    assert style.controlled(by_length, features) == pytest.approx(0.5, abs=0.04)
    by_strength = (generator.random(4000) < 0.8).astype(float)
    assert style.controlled(by_strength, features) == pytest.approx(0.8, abs=0.04)


@pytest.mark.parametrize("share", [0, 0.3, 0.5, 0.6, 0.95, 1])
@pytest.mark.parametrize("difference", [[0, 0, 0, 0], [0.1, 0, 0, 0], [-0.3, 0.1, 1 / 3, 0.7], [1e-9, 1, -1, 0.5]])
@pytest.mark.parametrize("verdicts", [20, 100, 1000])
def test_style_control_changes_nothing_if_all_style_differences_are_equal(
    share: float, difference: list[float], verdicts: int
) -> None:
    outcomes = np.repeat([1.0, 0.0], [round(share * verdicts), verdicts - round(share * verdicts)])
    assert style.controlled(outcomes, np.tile(difference, (verdicts, 1))) == pytest.approx(outcomes.mean(), abs=1e-6)


def test_style_control_changes_little_if_style_differences_are_nearly_equal() -> None:
    generator = np.random.default_rng(0)
    features = 0.3 + 1e-6 * generator.standard_normal((500, 4))
    assert style.controlled(np.repeat([1.0, 0.5, 0.0], [250, 100, 150]), features) == pytest.approx(0.6, abs=1e-3)


def test_style_control_is_finite_if_style_separates_all_wins_from_all_losses() -> None:
    features = np.repeat([[0.5, 0, 0, 0], [-0.5, 0, 0, 0]], 50, axis=0)
    assert style.controlled(np.repeat([1.0, 0.0], 50), features) == pytest.approx(0.5, abs=1e-6)


def test_markdown_in_code_blocks_is_not_counted() -> None:
    words, headers, items, bold = style.style("# Head\n\n- one\n- **two**\n\n```\n# no head\n- no item\n```")
    assert [round(share * (words + 1)) for share in (headers, items, bold)] == [1, 2, 1]
