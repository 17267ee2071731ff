"""A moving average of the classifier's norm parameters, and what it would have predicted."""

from __future__ import annotations

from typing import Any

import torch
from ignite.engine import Engine, Events
from pydantic import Field

from dusa_ignite.engine import batch_of, output_of
from dusa_ignite.errors import ConfigError
from dusa_ignite.models.classifier import Classifier
from dusa_ignite.models.forward import predict
from dusa_ignite.models.norms import norm_parameters
from dusa_ignite.models.views import to_float
from dusa_ignite.utils.section import Section


class NormEMAOptions(Section):
    """A moving average of the classifier's normalisation parameters."""

    decay: float = Field(default=0.99, ge=0, lt=1, description="per update, in [0, 1)")
    evaluate: bool = Field(default=True, description="also measure the averaged classifier's accuracy")


class NormEMA:
    """Averages the affine parameters of the classifier's norm layers after every update.

    ``ema = decay * ema + (1 - decay) * parameter``, begun at the source values. With ``evaluate`` the batch is also
    predicted with the averages in place of the parameters, before the update as the method's own predictions are; the
    logits are put into the output as ``ema_y_pred``. Attach it before the metrics that read them.

    Args:
        classifier: its norm layers are averaged; the averages themselves never change what is trained.
        decay: in [0, 1).
        evaluate: whether to predict with the averages (one more forward pass).
        micro_batch_size: images predicted at once.

    Raises:
        ConfigError: the classifier has no norm layer with affine parameters.
    """

    def __init__(self, classifier: Classifier, *, decay: float, evaluate: bool, micro_batch_size: int) -> None:
        self.classifier = classifier
        self.decay = decay
        self.evaluate = evaluate
        self.micro_batch_size = micro_batch_size
        self.parameters = norm_parameters(classifier)
        if not self.parameters:
            raise ConfigError("norm_ema: the classifier has no norm layer with affine parameters; set norm_ema=null")
        self.averages = {name: parameter.detach().clone() for name, parameter in self.parameters.items()}
        self._logits: torch.Tensor | None = None

    def attach(self, engine: Engine) -> None:
        """Predict before and average after every update."""
        if self.evaluate:
            engine.add_event_handler(Events.ITERATION_STARTED, self.predict)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.average)

    def predict(self, engine: Engine) -> None:
        """Predict the batch at hand with the averages."""
        some = next(iter(self.averages.values()))
        batch = batch_of(engine)
        images = to_float(batch["images"], device=some.device, dtype=some.dtype)
        self._logits = predict(
            self.classifier, images, micro_batch_size=self.micro_batch_size, parameters=self.averages
        )

    @torch.no_grad()
    def average(self, engine: Engine) -> None:
        """Move the averages towards the parameters; add the prediction to the output."""
        for name, parameter in self.parameters.items():
            self.averages[name].lerp_(parameter, 1 - self.decay)
        if self._logits is not None:
            output_of(engine)["ema_y_pred"] = self._logits

    def state_dict(self) -> dict[str, torch.Tensor]:
        """The averages by parameter name."""
        return dict(self.averages)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the averages."""
        for name, average in self.averages.items():
            average.copy_(state[name])
