"""When the numbers of a window are signs that adaptation does harm."""

from __future__ import annotations

from pydantic import Field

from dusa_ignite.handlers.harm_signals import Signals
from dusa_ignite.utils.section import Section


class SignOptions(Section):
    """Where signs begin; see docs/monitoring.md for how these values were found."""

    min_guide_auc: float = Field(
        default=0.5, ge=0, le=1, description="guide: the lower end of its AUC's interval is below this, in [0, 1]"
    )
    max_extra_share: float = Field(
        default=0.15,
        ge=0,
        le=1,
        description="collapse: the most frequent class takes more than with the source model, by this, in [0, 1]",
    )
    min_vote: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="vote: how often the guide prefers the new class where it has changed; the upper end of the "
        "interval is below this, in [0, 1]",
    )
    max_skipped: float = Field(
        default=0.5, ge=0, le=1, description="skipped: more of the updates than this were not applied, in [0, 1]"
    )


def signs(signals: Signals, options: SignOptions, *, images: int) -> dict[str, str]:
    """The signs of harm that are there: what to say of each, by its name. A number that is NaN is no sign.

    Args:
        signals: of a window.
        options: where signs begin.
        images: that the window holds.
    """
    found = {}
    if signals.guide_auc_low < options.min_guide_auc:
        found["guide"] = (
            f"guide: it hardly tells likely classes from others, AUC {signals.guide_auc:.2f} over {images} images "
            "(chance 0.5); is it trained on these classes, in this order, for this view?"
        )
    if signals.top_share - signals.source_top_share > options.max_extra_share:
        found["collapse"] = (
            f"collapse: one class takes {signals.top_share:.0%} of {images} predictions, with the source model "
            f"{signals.source_top_share:.0%}; lower optimizer.lr?"
        )
    if signals.vote_high < options.min_vote:
        found["vote"] = (
            f"vote: where the class has changed since the source model, the guide prefers the new one in "
            f"{signals.vote:.0%} only; lower optimizer.lr?"
        )
    if signals.skipped > options.max_skipped:
        found["skipped"] = f"skipped: {signals.skipped:.0%} of the updates had a loss or gradient that is not finite"
    return found
