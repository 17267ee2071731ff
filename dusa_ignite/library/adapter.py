"""The adapter: predict, then learn, batch after batch, wherever the images come from."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

from dusa_ignite.config import Config, load_config, to_yaml
from dusa_ignite.errors import CheckpointError
from dusa_ignite.handlers.harm_monitor import MonitorOptions
from dusa_ignite.handlers.norm_ema import NormEMAOptions
from dusa_ignite.library.learner import Learner
from dusa_ignite.library.parts import make_parts
from dusa_ignite.library.shared import SharedLearner
from dusa_ignite.library.state_folder import CONFIG, read_state, write_state
from dusa_ignite.methods import Dusa, Method
from dusa_ignite.methods.optimizers import Adam, OptimizerOptions
from dusa_ignite.models import Classifier, Guide
from dusa_ignite.models.guides.times import FixedTime, TimeOptions
from dusa_ignite.runs.assemble_adapter import adapter_parts
from dusa_ignite.runs.micro_batches import resolved
from dusa_ignite.utils.shipped import locate_config


class Adapter(SharedLearner):
    """A classifier that learns from the images it predicts.

    Underneath are a run's engine, method, reset, monitor and averaged norms: the same images in the same batches, with
    the same ``index`` and ``task``, give a run's numbers. Updates that are not finite are skipped; a run ends after
    many of them, an adapter leaves that to its caller (:attr:`warnings`).

    It may be called from several threads. There is one lock: batches are met one after the other, and a prediction
    waits for the update that is under way. The caller's ``no_grad``, ``inference_mode`` and ``autocast`` have no effect
    within. It works in one process; the models are the caller's, on their devices, and are changed in place, in eval
    mode.

    Args:
        classifier: what of it requires gradients learns; of a method that lets only norms learn, or nothing, these.
        guide: on the classifier's device, for guided methods.
        method: its ``Options``, which choose it; ``None`` = DUSA with its defaults.
        optimizer: options of :mod:`dusa_ignite.methods.optimizers`; ``None`` = Adam with its defaults.
        time: how noise levels are drawn; ``None`` = always 0.25.
        norm_ema: the averaged norms, whose logits are in :attr:`output` as ``ema_y_pred``; ``None`` = off.
        monitor: what is a sign of harm, and what is done about it; ``None`` = the defaults.
        setting: when the model is reset, as in a config (:mod:`dusa_ignite.data.settings`): with ``fully`` where
            another ``task`` begins, with ``continual`` never, with ``episodic`` before every batch.
        seed: of everything random.
        micro_batch_size: images in the graph at once, >= 1; no effect on results.
        class_names: in the order of the outputs; empty = unknown.

    Attributes:
        classifier, guide, method, monitor, norm_ema, class_names: what it is made of; ``None`` where it has none.
        task: the name of the task where none is given with the images; with the seed it keys the noise.
        config: what it was made from; ``None`` where it was made of parts.

    Raises:
        ConfigError: the parts do not fit each other, or the classifier does not fit the method.
        ValueError: the method's options do not fit the classifier's classes.

    Example:
        >>> adapter = Adapter.from_config("digits", ["optimizer.lr=1e-4"])
        >>> for images in stream:
        ...     logits = adapter(images)
    """

    def __init__(
        self,
        classifier: Classifier,
        guide: Guide | None = None,
        method: Method.Options | None = None,
        *,
        optimizer: OptimizerOptions | None = None,
        time: TimeOptions | None = None,
        norm_ema: NormEMAOptions | None = None,
        monitor: MonitorOptions | None = None,
        setting: str = "fully",
        seed: int = 2024,
        micro_batch_size: int = 8,
        class_names: Sequence[str] = (),
    ) -> None:
        parts = make_parts(
            classifier,
            guide,
            method=method or Dusa.Options(),
            optimizer=optimizer or Adam(),
            time=time or FixedTime(),
            norm_ema=norm_ema,
            monitor=monitor or MonitorOptions(),
            setting=setting,
            seed=seed,
            micro_batch_size=micro_batch_size,
        )
        super().__init__(Learner(parts))
        self.classifier, self.guide, self.class_names = classifier, guide, tuple(class_names)
        self.method, self.monitor, self.norm_ema = parts.method, parts.monitor, parts.norm_ema
        self.config: Config | None = None
        self._saving = threading.Lock()

    @classmethod
    def from_config(cls, config: str | Path | Config, overrides: Sequence[str] = ()) -> Adapter:
        """An adapter with the models, the method and all else of a run's config; of the data no file is needed.

        Seeds, deterministic algorithms and threads of torch are set as the config says, for the whole process.

        Args:
            config: a YAML file, the name of a shipped config (``digits``), or a loaded config.
            overrides: of a file, as on the command line.

        Raises:
            UserError: something in the config or the weights cannot be used.
        """
        if isinstance(config, Config):
            if overrides:
                raise ValueError("overrides are of a file; a loaded config has had its own")
        else:
            config = load_config(locate_config(config), overrides)
        adapter = cls(**adapter_parts(resolved(config, whole_run=False)))
        adapter.config = config
        return adapter

    def save(self, folder: str | Path) -> None:
        """Write the state, and the config if there is one, into a folder: whole, or not at all.

        Raises:
            CheckpointError: it cannot be written.
        """
        with self._saving:
            config = None if self.config is None else to_yaml(self.config)
            write_state(Path(folder), self.state_dict(), config)

    def restore(self, folder: str | Path) -> None:
        """Go on from what :meth:`save` wrote, with an adapter that was made of the same things.

        Raises:
            CheckpointError: there is nothing, or it is damaged, or see :meth:`load_state_dict`.
        """
        self.load_state_dict(read_state(Path(folder)))

    @classmethod
    def load(cls, folder: str | Path, overrides: Sequence[str] = ()) -> Adapter:
        """The adapter that :meth:`save` wrote, made anew from its config; paths in it mean what they meant then.

        Args:
            folder: of :meth:`save`.
            overrides: of the config, where weights now lie somewhere else.

        Raises:
            UserError: see :meth:`restore` and :meth:`from_config`; or there is no config, as it was made of parts.
        """
        config = Path(folder) / CONFIG
        state = read_state(Path(folder))
        if not config.is_file():
            raise CheckpointError(
                f"{folder}: holds no {CONFIG}, as its adapter was made of parts; make one of the same parts, then "
                "adapter.restore(folder)"
            )
        adapter = cls.from_config(load_config(config, overrides))
        adapter.load_state_dict(state)
        return adapter
