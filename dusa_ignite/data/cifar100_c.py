"""CIFAR-100-C: CIFAR-100's 10,000 test images under 19 corruptions at five severities."""

from __future__ import annotations

from typing import ClassVar, Literal

from dusa_ignite.data.cifar_c import CifarC

NAMES = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle
caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant flatfish
forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle
mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine
possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake spider squirrel streetcar
sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle wardrobe whale
willow_tree wolf woman worm
"""

CLASSES = tuple(NAMES.split())
"""The 100 fine classes, in the order of their labels, which is that of the alphabet."""


class Cifar100C(CifarC):
    """CIFAR-100-C: a task per corruption and severity."""

    class_names: ClassVar[tuple[str, ...]] = CLASSES

    name: Literal["cifar100_c"] = "cifar100_c"
