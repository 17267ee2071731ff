"""Arrangements of tasks and orders of images, with numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dusa_ignite.data.order import correlated_order
from dusa_ignite.data.settings import SETTINGS, Joined, gradual, mixed
from dusa_ignite.data.stream import TaskStream
from dusa_ignite.data.task import Task
from dusa_ignite.errors import ConfigError, DataError


class Numbers:
    """Images of one pixel that hold ``first``, ``first + 1``, ...; labels given."""

    def __init__(self, first: int, labels: list[int]) -> None:
        self.first = first
        self.labels = np.array(labels)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return torch.full((3, 1, 1), self.first + index, dtype=torch.uint8), int(self.labels[index])

    def fingerprint(self) -> str:
        return f"{self.first} {self.labels.tolist()}"


def task(name: str, first: int, labels: list[int]) -> Task:
    return Task(name, Numbers(first, labels), ("a", "b"))


def test_every_setting() -> None:
    assert {name: setting.resets for name, setting in SETTINGS.items()} == {
        "fully": "task",
        "continual": "never",
        "gradual": "never",
        "mixed": "task",
        "correlated": "task",
        "episodic": "batch",
    }
    assert [name for name, setting in SETTINGS.items() if setting.correlated] == ["correlated"]
    tasks = [task(f"fog/{severity}", 0, [0]) for severity in (1, 2, 3, 4, 5)]
    numbers = {name: len(setting.arrange(tasks)) for name, setting in SETTINGS.items()}
    assert numbers == {"fully": 5, "continual": 5, "gradual": 9, "mixed": 1, "correlated": 5, "episodic": 5}
    assert SETTINGS["fully"].arrange(tuple(tasks)) == tasks


def test_mixed_holds_every_image_once_and_mixes_tasks() -> None:
    (one,) = mixed([task("fog/5", 0, [0, 1] * 10), task("snow/5", 100, [1] * 12)])
    assert one.name == "mixed"
    assert len(one.dataset) == 32
    values = [int(one.dataset[index][0][0, 0, 0]) for index in range(32)]
    assert values == [*range(20), *range(100, 112)]
    assert [one.dataset[index][1] for index in (0, 1, 19, 20, 31)] == [0, 1, 1, 1, 1]
    stream = TaskStream([one], batch_size=8, seed=0)
    first = next(iter(stream))["images"][:, 0, 0, 0].tolist()
    assert min(first) < 20
    assert max(first) >= 100


def test_the_fingerprint_of_joined_data_knows_their_order() -> None:
    a, b = Numbers(0, [0]), Numbers(1, [1])
    assert Joined([a, b]).fingerprint() != Joined([b, a]).fingerprint()


def test_gradual_goes_up_and_down() -> None:
    tasks = [task(f"{name}/{severity}", severity, [0]) for name in ("fog", "snow") for severity in (1, 2, 3, 4, 5)]
    arranged = gradual(tasks)
    assert [one.name for one in arranged[:10]] == [
        "fog/1",
        "fog/2",
        "fog/3",
        "fog/4",
        "fog/5",
        "fog/4-",
        "fog/3-",
        "fog/2-",
        "fog/1-",
        "snow/1",
    ]
    assert len(arranged) == 18
    assert arranged[5].dataset is arranged[3].dataset


def test_gradual_needs_all_severities() -> None:
    with pytest.raises(ConfigError, match=r"gradual needs data.severities=\[1, 2, 3, 4, 5\]; missing: fog/1, fog/2"):
        gradual([task("fog/5", 0, [0])])


def test_gradual_on_data_without_severities() -> None:
    with pytest.raises(ConfigError) as caught:
        gradual([task(name, 0, [0]) for name in ("day", "dusk", "night", "rain")])
    assert str(caught.value) == (
        "setting: gradual needs corruptions in severities 1 to 5 (data.name=imagenet_c, for one); the tasks here, "
        "day, dusk, night, ..., have none; take fully or continual"
    )


def runs(labels: np.ndarray) -> int:
    """How often the label changes, plus one."""
    return 1 + int((np.diff(labels) != 0).sum())


def test_correlated_is_a_permutation_in_bursts() -> None:
    labels = [number % 10 for number in range(1000)]
    one = task("fog/5", 0, labels)
    orders = {delta: correlated_order(one, seed=0, delta=delta) for delta in (0.01, 0.1, 10.0)}
    for order in orders.values():
        assert sorted(order.tolist()) == list(range(1000))
    counts = {delta: runs(np.array(labels)[order]) for delta, order in orders.items()}
    assert counts[0.01] < 30  # ten classes, hardly more than one burst each
    assert counts[0.01] < counts[0.1] < counts[10.0] <= 100  # ten sections of ten classes at most
    assert correlated_order(one, seed=0, delta=0.1).tolist() == orders[0.1].tolist()
    assert correlated_order(one, seed=1, delta=0.1).tolist() != orders[0.1].tolist()
    assert len(correlated_order(one, seed=0, delta=0.1, limit=37)) == 37


def test_correlated_needs_labels() -> None:
    with pytest.raises(DataError, match="needs a label for every image"):
        correlated_order(task("fog/5", 0, [0, -1]), seed=0, delta=0.1)


def test_a_correlated_stream() -> None:
    labels = [number % 2 for number in range(40)]
    stream = TaskStream([task("fog/5", 0, labels)], batch_size=40, seed=0, correlation=0.01)
    assert runs(next(iter(stream))["labels"].numpy()) <= 4
