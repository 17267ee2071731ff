"""Which classes the guide is asked about: the most likely ones, the draw of the others, and what they weigh."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import pytest
import torch

from dusa_ignite.methods import candidates as module
from dusa_ignite.methods.candidates import candidate_weights
from dusa_ignite.methods.draws import draw_batch
from dusa_ignite.models.guides.times import fixed


def select_candidates(logits: torch.Tensor, **options: Any) -> torch.Tensor:
    """With the published draw, where no other is asked for."""
    return module.select_candidates(logits, **{"temperature": 1.0, "draw": "multinomial", **options})


def gumbel_of(*seeds: int) -> torch.Tensor:
    """Draws for ten classes, of an image for each seed."""
    own = [torch.Generator().manual_seed(seed) for seed in seeds]
    options: dict[str, Any] = {"time": fixed(t=0.5), "shape": (1, 1, 1), "num_samples": 1}
    return draw_batch(own, num_gumbel=10, device=torch.device("cpu"), **options).gumbel


def test_top_classes_in_falling_order() -> None:
    logits = torch.tensor([[0.1, 3.0, -1.0, 2.0], [5.0, 1.0, 4.0, -2.0]])
    assert select_candidates(logits, num_top=3, num_random=0).tolist() == [[1, 3, 0], [0, 2, 1]]


def test_drawn_classes_repeat_neither_each_other_nor_the_top() -> None:
    logits = torch.randn(500, 9, generator=torch.Generator().manual_seed(0))
    candidates = select_candidates(logits, num_top=3, num_random=4)
    assert candidates.dtype == torch.int64
    assert torch.equal(candidates[:, :3], logits.topk(3).indices)
    assert (candidates.sort(dim=1).values.diff(dim=1) > 0).all()
    everything = select_candidates(logits, num_top=4, num_random=5)
    assert torch.equal(everything.sort(dim=1).values, torch.arange(9).expand(500, 9))


@pytest.mark.parametrize("draw", ["multinomial", "uniform"])
def test_a_draw_belongs_to_its_generator_alone(draw: str) -> None:
    logits = torch.randn(4, 10, generator=torch.Generator().manual_seed(0))

    def select(rows: slice, *seeds: int) -> torch.Tensor:
        gumbel = gumbel_of(*seeds)
        return select_candidates(logits[rows], num_top=2, num_random=3, draw=draw, gumbel=gumbel)

    batch = select(slice(0, 4), 5, 6, 7, 8)
    torch.manual_seed(99)
    assert torch.equal(select(slice(0, 4), 5, 6, 7, 8), batch)
    for row, seed in enumerate((5, 6, 7, 8)):
        assert torch.equal(select(slice(row, row + 1), seed), batch[row : row + 1])
    assert not torch.equal(select(slice(0, 4), 1, 2, 3, 4)[:, 2:], batch[:, 2:])


LOGITS = torch.tensor([1.0, 0.0, 3.0, 2.0])  # class 2 is the top one; the others are 0, 1, 3
DRAWS = 20_000  # a share's standard deviation is at most 0.0036


def shares(num_random: int = 1, **kwargs: Any) -> dict[tuple[int, ...], float]:
    torch.manual_seed(0)
    found = select_candidates(LOGITS.expand(DRAWS, 4), num_top=1, num_random=num_random, **kwargs)
    assert (found[:, 0] == 2).all()
    counts = Counter(tuple(row) for row in found[:, 1:].tolist())
    return {key: count / DRAWS for key, count in counts.items()}


def test_drawn_with_the_softmax_over_the_other_classes() -> None:
    total = math.e + 1 + math.e**2
    expected = {(0,): math.e / total, (1,): 1 / total, (3,): math.e**2 / total}
    assert expected == pytest.approx({(0,): 0.2447, (1,): 0.0900, (3,): 0.6652}, abs=1e-4)
    assert shares() == pytest.approx(expected, abs=0.012)


def test_drawn_without_replacement() -> None:
    p = {0: 0.244728, 1: 0.090031, 3: 0.665241}
    expected = {(a, b): p[a] * p[b] / (1 - p[a]) for a in p for b in p if a != b}
    assert shares(num_random=2) == pytest.approx(expected, abs=0.012)


def test_temperature_flattens_the_draw() -> None:
    total = math.exp(0.5) + 1 + math.e
    expected = {(0,): math.exp(0.5) / total, (1,): 1 / total, (3,): math.e / total}
    assert shares(temperature=2.0) == pytest.approx(expected, abs=0.012)
    assert shares(temperature=1e-3) == {(3,): 1.0}


def test_uniform_draw() -> None:
    assert shares(draw="uniform") == pytest.approx({(0,): 1 / 3, (1,): 1 / 3, (3,): 1 / 3}, abs=0.012)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_random": 3}, r"num_top=2 \+ num_random=3 candidates do not fit 4 classes"),
        ({"num_top": 0}, "num_top=0"),
        ({"num_random": -1}, "num_random=-1"),
        ({"draw": "gumbel"}, "draw must be one of .* not 'gumbel'"),
        ({"temperature": 0.0}, "temperature must be > 0"),
        ({"gumbel": torch.zeros(3, 4)}, r"gumbel must be of shape \(2, 4\), not \(3, 4\)"),
    ],
)
def test_impossible_draws(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        select_candidates(torch.zeros(2, 4), **{"num_top": 2, "num_random": 1, **change})


def test_candidates_carry_no_gradient_and_need_no_images() -> None:
    logits = torch.zeros(0, 4, requires_grad=True)
    assert select_candidates(logits, num_top=2, num_random=1, gumbel=torch.zeros(0, 4)).shape == (0, 3)


def test_weights_are_the_softmax_of_the_normalised_logits() -> None:
    logits, candidates = torch.tensor([[3.0, 0.0, 4.0]]), torch.tensor([[2, 1]])
    normalised = math.exp(0.8) / (math.exp(0.8) + 1)  # the norm is 5
    assert candidate_weights(logits, candidates, normalise_logits=True).tolist()[0] == pytest.approx(
        [normalised, 1 - normalised]
    )
    raw = math.exp(4) / (math.exp(4) + 1)
    weights = candidate_weights(logits, candidates, normalise_logits=False)
    assert weights.tolist()[0] == pytest.approx([raw, 1 - raw])
