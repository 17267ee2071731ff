"""The teacher: its average, what it saves, and what it refuses to load."""

from __future__ import annotations

import pytest
import torch
from support.toys import assert_identical, through_a_file, toy_classifier

from dusa_ignite.methods.teacher import Teacher, frozen_copy, source_values


def test_average_by_hand() -> None:
    student = toy_classifier("test_resnet", trainable="norm").double()
    teacher, source = Teacher(student), frozen_copy(student)
    with torch.no_grad():
        for parameter in student.parameters():
            parameter += 1
    teacher.average(student, decay=0.9)
    for name, parameter in teacher.classifier.named_parameters():
        learns = student.get_parameter(name).requires_grad
        expected = source.get_parameter(name) + (0.1 if learns else 0)
        torch.testing.assert_close(parameter, expected, rtol=0, atol=1e-15)
        assert not parameter.requires_grad


def test_source_values_are_copies_of_what_learns() -> None:
    student = toy_classifier("test_resnet", trainable="norm")
    values = source_values(student)
    assert values.keys() == {name for name, parameter in student.named_parameters() if parameter.requires_grad}
    before = {name: value.clone() for name, value in values.items()}
    with torch.no_grad():
        for parameter in student.parameters():
            parameter += 1
    assert_identical(values, before)


def test_its_state_is_what_may_change() -> None:
    student = toy_classifier("test_resnet", trainable="norm")
    teacher, other = Teacher(student), Teacher(student)
    with torch.no_grad():
        for parameter in student.parameters():
            parameter += 1
    teacher.average(student, decay=0.5)
    state = through_a_file(teacher.state_dict())
    fixed = {name for name, parameter in student.named_parameters() if not parameter.requires_grad}
    assert state.keys() == student.state_dict().keys() - fixed
    other.load_state_dict(state)
    assert_identical(other.classifier.state_dict(), teacher.classifier.state_dict())


def test_another_state_is_refused() -> None:
    teacher = Teacher(toy_classifier("test_resnet", trainable="norm"))
    state = teacher.state_dict()
    before = {name: value.clone() for name, value in state.items()}
    name = "backbone.layer4.0.bn1.weight"
    smaller = {key: torch.zeros_like(value) for key, value in state.items() if key != name}
    for wrong, message in (
        ({}, r"missing \['backbone.bn1.bias'"),
        (smaller, r"missing \['backbone.layer4.0.bn1.weight'\], unexpected \[\]"),
        (
            {**state, "backbone.conv1.0.weight": torch.zeros(1)},
            r"missing \[\], unexpected \['backbone.conv1.0.weight'\]",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            teacher.load_state_dict(wrong)
    assert_identical(teacher.state_dict(), before)
