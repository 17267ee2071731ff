"""Data sets as parts: what each states, and what one of your own needs."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Union

import pytest
from pydantic import Field, TypeAdapter, ValidationError

from dusa_ignite.data import DATA_SETS, DataSet, Digits, ImageNetC
from dusa_ignite.data.corrupted import CorruptedDataSet


class Cells(CorruptedDataSet):
    """One of the user's own."""

    benchmark_corruptions: ClassVar[tuple[str, ...]] = ("blur",)
    all_corruptions: ClassVar[tuple[str, ...]] = ("blur", "dust")

    name: Literal["cells"] = "cells"


def test_every_data_set_is_told_by_its_name() -> None:
    section = TypeAdapter(Annotated[Union[DATA_SETS], Field(discriminator="name")])  # noqa: UP007 - a tuple to unpack
    for name in ("imagenet_c", "image_folder"):
        assert section.validate_python({"name": name, "root": "/x"}).name == name
    assert isinstance(section.validate_python({"name": "digits"}), Digits)
    assert [next(iter(kind.model_fields)) for kind in DATA_SETS] == ["name"] * len(DATA_SETS)


def test_defaults_of_the_stream() -> None:
    data = ImageNetC(root="/x")
    assert (data.batch_size, data.micro_batch_size, data.shuffle, data.correlation) == (64, 8, True, 0.1)
    assert (data.limit, data.num_workers, data.on_error) == (None, 4, "raise")
    assert Digits().num_workers == 0


def test_a_data_set_must_define_its_tasks() -> None:
    with pytest.raises(NotImplementedError, match="DataSet must define tasks"):
        DataSet(name="mine").tasks()


def test_corruptions_of_your_own() -> None:
    assert Cells().pairs == [("blur", 5)]
    assert Cells(corruptions="all", severities=(2, 1)).pairs == [("blur", 2), ("blur", 1), ("dust", 2), ("dust", 1)]
    assert Cells(corruptions=("dust",)).pairs == [("dust", 5)]
    with pytest.raises(ValidationError, match=r"'dusk' is no corruption, did you mean dust\?; .* out of blur, dust"):
        Cells(corruptions=("dusk",))
