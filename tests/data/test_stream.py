"""The stream of tasks: what is met, in which order, by whom."""

from __future__ import annotations

import itertools
import logging
import pickle
import re
from typing import Any

import numpy as np
import pytest
import torch
from support.toys import Images, numbered_task

from dusa_ignite.data.order import task_order
from dusa_ignite.data.stream import TaskStream, stack_images
from dusa_ignite.data.task import Task
from dusa_ignite.engine import labels_on
from dusa_ignite.errors import DataError

SHUFFLED_A = [3, 2, 0, 6, 4, 1, 5]  # seed 11, a task named "a" of 7 images
SHUFFLED_B = [5, 2, 3, 6, 0, 1, 4]  # ... named "b"


def make(counts: dict[str, int], *, batch_size: int = 3, seed: int = 11, **kwargs: Any) -> TaskStream:
    tasks = [numbered_task(name, count) for name, count in counts.items()]
    return TaskStream(tasks, batch_size=batch_size, seed=seed, **kwargs)


def places(stream: TaskStream) -> list[tuple[str, list[int], bool, bool]]:
    return [(b["task"], b["index"].tolist(), b["first"], b["last"]) for b in stream]


def order_of(stream: TaskStream, task: str) -> list[int]:
    return [index for name, indices, _, _ in places(stream) for index in indices if name == task]


def test_no_batch_spans_two_tasks() -> None:
    stream = make({"a": 7, "b": 3, "c": 1}, shuffle=False)
    assert len(stream) == 5
    assert places(stream) == [
        ("a", [0, 1, 2], True, False),
        ("a", [3, 4, 5], False, False),
        ("a", [6], False, True),
        ("b", [0, 1, 2], True, True),
        ("c", [0], True, True),
    ]


def test_a_batch() -> None:
    batch = next(iter(make({"a": 7})))
    assert batch.keys() == {"images", "labels", "index", "task", "first", "last", "unreadable"}
    assert batch["images"].shape == (3, 3, 2, 2)
    assert batch["images"].dtype == torch.uint8
    assert batch["images"][:, 0, 0, 0].tolist() == batch["labels"].tolist() == batch["index"].tolist() == SHUFFLED_A[:3]
    assert batch["labels"].dtype == batch["index"].dtype == torch.int64
    assert batch["unreadable"] == []


def test_label_maps_stay_as_large_as_their_images() -> None:
    class Maps:
        labels = torch.full((3,), -1)

        def __len__(self) -> int:
            return 3

        def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
            size = (2, 2 + index)
            return torch.zeros(3, *size, dtype=torch.uint8), torch.full(size, index)

        def fingerprint(self) -> str:
            return "maps"

    stream = TaskStream([Task("maps", Maps(), ("a", "b", "c"))], batch_size=3, seed=0, shuffle=False)
    (batch,) = stream
    assert [tuple(own.shape) for own in batch["labels"]] == [(2, 2), (2, 3), (2, 4)]
    assert [int(own[0, 0]) for own in batch["labels"]] == [0, 1, 2]
    assert labels_on(torch.device("meta"), batch["labels"])[2].is_meta


def test_a_task_without_images_has_no_batch() -> None:
    assert [task for task, *_ in places(make({"a": 2, "b": 0, "c": 2}))] == ["a", "c"]


def test_order_is_a_function_of_seed_and_task_name() -> None:
    assert order_of(make({"a": 7, "b": 7}), "a") == SHUFFLED_A
    assert order_of(make({"a": 7, "b": 7}), "b") == SHUFFLED_B
    assert order_of(make({"x": 5, "b": 7, "y": 2}, batch_size=2), "b") == SHUFFLED_B
    assert order_of(make({"a": 7}, seed=12), "a") == [5, 4, 2, 0, 1, 3, 6]
    stream = make({"b": 7})
    assert order_of(stream, "b") == order_of(stream, "b") == SHUFFLED_B


def test_a_published_order() -> None:
    order = task_order(numbered_task("gaussian_noise/5", 50), seed=2024, shuffle=True, limit=None)
    assert order[:8].tolist() == [36, 29, 14, 11, 28, 19, 2, 37]
    assert sorted(order.tolist()) == list(range(50))


def test_global_generators_are_neither_used_nor_moved() -> None:
    torch.manual_seed(1)
    state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].tolist()  # noqa: NPY002
    assert order_of(make({"a": 7}), "a") == SHUFFLED_A
    assert torch.equal(torch.get_rng_state(), state)
    assert np.random.get_state()[1].tolist() == numpy_state  # noqa: NPY002


def test_limit_takes_a_random_subset() -> None:
    assert order_of(make({"a": 7}, limit=4), "a") == SHUFFLED_A[:4]
    assert order_of(make({"a": 7}, limit=4, shuffle=False), "a") == sorted(SHUFFLED_A[:4])
    assert order_of(make({"a": 7}, limit=100), "a") == SHUFFLED_A
    assert order_of(make({"a": 7}, limit=100, shuffle=False), "a") == list(range(7))


def test_max_batches_is_per_task() -> None:
    assert places(make({"a": 7, "b": 2, "c": 7}, shuffle=False, max_batches=2)) == [
        ("a", [0, 1, 2], True, False),
        ("a", [3, 4, 5], False, True),
        ("b", [0, 1], True, True),
        ("c", [0, 1, 2], True, False),
        ("c", [3, 4, 5], False, True),
    ]


@pytest.mark.parametrize("num_workers", [0, 2])
def test_seek(num_workers: int) -> None:
    stream = make({"a": 7, "b": 4}, num_workers=num_workers)
    whole = places(stream)
    for position in range(len(stream) + 1):
        stream.seek(position)
        assert places(stream) == whole[position:]
    stream.seek(0)
    assert places(stream) == whole
    assert len(stream) == 5


@pytest.mark.parametrize("world_size", [1, 2, 3])
@pytest.mark.parametrize("batch_size", [3, 5, 8])
def test_the_shares_of_all_processes_are_the_global_batch(world_size: int, batch_size: int) -> None:
    counts = {"a": 7, "b": 1, "c": 11}
    expected = places(make(counts, batch_size=batch_size))
    ranks = [make(counts, batch_size=batch_size, rank=rank, world_size=world_size) for rank in range(world_size)]
    shares = list(zip(*map(places, ranks), strict=True))
    joined = [(share[0][0], [i for part in share for i in part[1]], *share[0][2:]) for share in shares]
    assert joined == expected
    for share in shares:
        sizes = [len(part[1]) for part in share]
        assert max(sizes) - min(sizes) <= 1
        assert {(part[0], *part[2:]) for part in share} == {(share[0][0], *share[0][2:])}
    assert [len(rank) for rank in ranks] == [len(expected)] * world_size


@pytest.mark.parametrize("num_workers", [0, 1])
def test_an_empty_share(num_workers: int) -> None:
    stream = make({"a": 7}, rank=1, world_size=2, num_workers=num_workers)
    batch = list(stream)[-1]  # of one image, which process 0 has
    assert batch["images"].shape == (0, 3, 1, 1)
    assert batch["images"].dtype == torch.uint8
    assert batch["labels"].tolist() == batch["index"].tolist() == []
    assert batch["labels"].dtype == batch["index"].dtype == torch.int64
    assert batch["last"]


def test_loader_processes_change_nothing() -> None:
    here, there = make({"a": 7, "b": 4}), make({"a": 7, "b": 4}, num_workers=2)
    for a, b in itertools.zip_longest(here, there):
        assert a.keys() == b.keys()
        assert all(torch.equal(a[key], b[key]) for key in ("images", "labels", "index"))
        assert all(a[key] == b[key] for key in ("task", "first", "last", "unreadable"))


@pytest.mark.parametrize("num_workers", [0, 1])
def test_images_of_mixed_sizes_come_as_a_list(num_workers: int) -> None:
    images = [torch.full((3, 2, 2 + index % 2), index, dtype=torch.uint8) for index in range(5)]
    task = Task("mixed", Images(images, [0] * 5), ("x",))
    stream = TaskStream([task], batch_size=2, seed=0, shuffle=False, num_workers=num_workers)
    first, second, third = (batch["images"] for batch in stream)
    assert [image.shape for image in first] == [(3, 2, 2), (3, 2, 3)]
    assert isinstance(second, list)
    assert [int(image[0, 0, 0]) for image in second] == [2, 3]
    assert third.shape == (1, 3, 2, 2)


def test_stack_images() -> None:
    one, other = torch.zeros(3, 2, 2, dtype=torch.uint8), torch.ones(3, 2, 2, dtype=torch.uint8)
    assert torch.equal(stack_images([one, other]), torch.stack([one, other]))
    mixed = [one, torch.zeros(3, 2, 3, dtype=torch.uint8)]
    assert stack_images(mixed) is mixed


@pytest.mark.parametrize("num_workers", [0, 2])
def test_an_unreadable_image_is_an_error(num_workers: int) -> None:
    stream = TaskStream(
        [numbered_task("a", 7, broken=[4])], batch_size=3, seed=0, shuffle=False, num_workers=num_workers
    )
    batches = iter(stream)
    assert next(batches)["index"].tolist() == [0, 1, 2]
    with pytest.raises(
        DataError,
        match=re.escape(
            "image4.png: cannot be read; mend or remove it, or set data.on_error=skip to leave such images out"
        ),
    ):
        next(batches)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_an_unreadable_image_is_left_out_on_request(
    num_workers: int, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("dusa_ignite"), "propagate", True)
    stream = TaskStream(
        [numbered_task("a", 7, broken=[4, 6])],
        batch_size=3,
        seed=0,
        shuffle=False,
        num_workers=num_workers,
        on_error="skip",
    )
    batches = list(stream)
    assert [batch["index"].tolist() for batch in batches] == [[0, 1, 2], [3, 5], []]
    assert [batch["labels"].tolist() for batch in batches] == [[0, 1, 2], [3, 5], []]
    assert batches[1]["images"][:, 0, 0, 0].tolist() == [3, 5]
    assert [batch["unreadable"] for batch in batches] == [
        [],
        ["image4.png: cannot be read"],
        ["image6.png: cannot be read"],
    ]
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "left out: image4.png: cannot be read"),
        ("WARNING", "left out: image6.png: cannot be read"),
    ]


def test_task_names_must_differ() -> None:
    tasks = [numbered_task(name, 2) for name in ("fog", "snow", "fog")]
    with pytest.raises(DataError, match=re.escape("two tasks share a name: ['fog']")):
        TaskStream(tasks, batch_size=2, seed=0)


def test_tasks_pickle() -> None:
    task = pickle.loads(pickle.dumps(numbered_task("a", 3)))
    assert task.name == "a"
    assert task.dataset[2][1] == 2


def test_float_images_and_bytes_are_never_stacked() -> None:
    mixed = [torch.full((3, 2, 2), 255, dtype=torch.uint8), torch.ones(3, 2, 2)]
    assert stack_images(mixed) is mixed
    assert stack_images([mixed[1], mixed[1]]).shape == (2, 3, 2, 2)  # type: ignore[union-attr]


def test_what_is_no_image_is_named_with_its_place() -> None:
    images = [torch.full((3, 2, 2), 0.5), torch.full((3, 2, 2), 128.0)]
    task = Task("fog", Images(images, [0, 1]), ("a", "b"))
    with pytest.raises(
        DataError, match=r"^image 1 of task fog: float32 from 128 to 128; .* divide them by 255; mend or"
    ):
        list(TaskStream([task], batch_size=2, seed=0, shuffle=False))
    (batch,) = TaskStream([task], batch_size=2, seed=0, shuffle=False, on_error="skip")
    assert (batch["index"].tolist(), len(batch["unreadable"])) == ([0], 1)
