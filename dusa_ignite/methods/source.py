"""Source: the classifier as it is, without adaptation, in the same harness."""

from __future__ import annotations

from typing import Literal

from dusa_ignite.engine import Batch
from dusa_ignite.methods.base import Method, Step
from dusa_ignite.models.views import Images


class Source(Method):
    """Predicts and learns nothing; its loss is NaN."""

    class Options(Method.Options):
        """No adaptation, in the same harness."""

        name: Literal["source"] = "source"

    problems = ("classification", "segmentation")
    trains = "nothing"
    predicts_as_source = True
    source_statistics = True  # those of the batch would be adaptation

    def adapt(self, images: Images, batch: Batch) -> Step:
        """The predictions alone."""
        return Step(self.predict(images))
