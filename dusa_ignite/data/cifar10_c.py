"""CIFAR-10-C: CIFAR-10's 10,000 test images under 19 corruptions at five severities."""

from __future__ import annotations

from typing import ClassVar, Literal

from dusa_ignite.data.cifar_c import CifarC

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


class Cifar10C(CifarC):
    """CIFAR-10-C: a task per corruption and severity."""

    class_names: ClassVar[tuple[str, ...]] = CLASSES

    name: Literal["cifar10_c"] = "cifar10_c"
