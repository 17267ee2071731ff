"""When the numbers of a window are signs that adaptation does harm, and which signs are worth a warning."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from pydantic import Field

from dusa_ignite.handlers.harm_signals import Signals
from dusa_ignite.utils.section import Section

CHANGED = 0.1  # where fewer images have changed their class, little can be lost, and the vote is a lottery
SKIPPED = 0.5


class SignOptions(Section):
    """Where signs begin; docs/monitoring.md says how these values were found."""

    min_guide_auc: float = Field(
        default=0.5, ge=0, le=1, description="guide: its AUC's 95 % interval reaches below this, in [0, 1]"
    )
    max_extra_share: float = Field(
        default=0.15, ge=0, le=1, description="collapse: one class takes more by this than with the source, in [0, 1]"
    )
    min_class_ratio: float = Field(
        default=0.7, ge=0, le=1, description="collapse: fewer classes than this share of the source's, in [0, 1]"
    )
    min_vote: float = Field(
        default=0.5, ge=0, le=1, description="vote: the guide prefers fewer than this of the changed classes, in [0, 1]"
    )


def signs(signals: Signals, options: SignOptions) -> dict[str, str]:
    """The signs of harm that are there: what to say of each, by its name. A number that is NaN is no sign.

    Args:
        signals: of the newest images.
        options: where signs begin.
    """
    found = {}
    if signals.guide_auc_low < options.min_guide_auc:
        found["guide"] = (
            f"it hardly tells likely classes from others, AUC {signals.guide_auc:.2f} (chance 0.50); was it trained on "
            "these classes, in this order, and for such images?"
        )
    extra = signals.top_share - signals.source_top_share
    if extra > options.max_extra_share or signals.class_ratio < options.min_class_ratio:
        found["collapse"] = (
            f"one class takes {signals.top_share:.0%} of the predictions, with the source model "
            f"{signals.source_top_share:.0%}; {signals.class_ratio:.0%} of its number of classes; lower optimizer.lr?"
        )
    if signals.changed >= CHANGED and signals.vote_high < options.min_vote:
        found["vote"] = (
            f"{signals.changed:.0%} of the images have changed their class since the source model, and for "
            f"{signals.vote:.0%} of them the guide prefers the new one; lower optimizer.lr?"
        )
    if signals.skipped > SKIPPED:
        found["skipped"] = f"{signals.skipped:.0%} of the updates had a loss or gradient that is not finite"
    return found


class Warnings:
    """A warning begins when its sign has lasted, and ends when the sign has been gone for long enough.

    Args:
        patience: images for which a sign lasts before it is warned of, by its name.
        window: images for which it is gone before the warning ends.

    Attributes:
        active: for how many images the sign has been gone, by the name of what is warned of.
    """

    def __init__(self, *, patience: Mapping[str, int], window: int) -> None:
        self.patience = patience
        self.window = window
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self.there_for: dict[str, int] = {}
        self.active: dict[str, int] = {}

    def update(self, present: Collection[str], images: int) -> tuple[list[str], list[str]]:
        """The names of the warnings that begin and of those that end.

        Args:
            present: the signs that are there.
            images: since the last call.
        """
        last = self.there_for
        self.there_for = {name: last[name] + images if name in last else 0 for name in present}
        begun = [n for n in present if n not in self.active and self.there_for[n] >= self.patience[n]]
        self.active = {name: 0 if name in present else gone + images for name, gone in self.active.items()}
        ended = [name for name, gone in self.active.items() if gone >= self.window]
        self.active = {name: gone for name, gone in self.active.items() if name not in ended} | dict.fromkeys(begun, 0)
        return begun, ended

    def state_dict(self) -> dict[str, Any]:
        """What it goes on from."""
        return {"there_for": dict(self.there_for), "active": dict(self.active)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from such a state."""
        self.there_for, self.active = dict(state["there_for"]), dict(state["active"])
