"""The adapter gives a run's numbers, goes back to the beginning, and goes on from where it was, bit for bit."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Engine, Events
from ignite.handlers import Checkpoint
from support.files import CONFIGS
from support.toys import CLASSES, SIDE, assert_identical, toy_classifier, toy_guide

from dusa_ignite import Adapter, TaskEvents, load_config
from dusa_ignite.engine import create_adaptation_engine
from dusa_ignite.errors import CheckpointError, ConfigError
from dusa_ignite.handlers import attach_metrics, task_metrics
from dusa_ignite.handlers.harm_monitor import MonitorOptions
from dusa_ignite.methods import Dusa, Tent
from dusa_ignite.methods.cotta import Cotta
from dusa_ignite.methods.lame import Lame
from dusa_ignite.methods.optimizers import Adam, Sgd
from dusa_ignite.models import Classifier
from dusa_ignite.runs.adapt import adapt
from dusa_ignite.runs.assemble import build_stream, data_of

SHORT = [
    "run.num_threads=1",
    "data.corruptions=[fog, contrast]",
    "data.limit=32",
    "data.batch_size=16",
    "data.micro_batch_size=16",
    "data.clean_root=null",
    "monitor.window=20",
]


@pytest.fixture(autouse=True)
def _untouched_torch() -> Iterator[None]:
    """A config sets determinism for the whole process."""
    deterministic = torch.are_deterministic_algorithms_enabled()
    yield
    torch.use_deterministic_algorithms(deterministic)


def toy_adapter(**options: Any) -> Adapter:
    """DUSA on toy models in float64, with everything that has a state."""
    given: dict[str, Any] = {"optimizer": Adam(lr=1e-3), "monitor": MonitorOptions(window=6), "micro_batch_size": 4}
    method = Dusa.Options(num_top=2, num_random=2)
    return Adapter(toy_classifier().double(), toy_guide().double(), method, **{**given, **options})


def noise(count: int, *, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(256, (count, 3, SIDE, SIDE), dtype=torch.uint8, generator=generator)


def weights(adapter: Adapter) -> dict[str, Any]:
    return copy.deepcopy(adapter.state_dict()["learnt"])


# A run


@pytest.mark.parametrize(
    "overrides",
    [
        ["norm_ema={decay: 0.9, evaluate: true}"],
        ["setting=episodic", "norm_ema=null"],
        ["setting=continual", "method.name=cotta", "monitor.action=rollback", "monitor.max_extra_share=0.0"],
        ["method.name=lame"],
    ],
    ids=["dusa", "episodic", "cotta", "lame"],
)
def test_the_numbers_are_a_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overrides: list[str]) -> None:
    given = [*SHORT, f"output_dir={tmp_path}", "name=x", *overrides]
    config = load_config(CONFIGS / "digits.yaml", given)
    predicted: list[torch.Tensor] = []

    def listened_to(update: Any) -> Engine:
        engine = create_adaptation_engine(update)
        engine.add_event_handler(Events.ITERATION_COMPLETED, lambda: predicted.append(engine.state.output["y_pred"]))
        return engine

    monkeypatch.setattr("dusa_ignite.runs.adapt.create_adaptation_engine", listened_to)
    adapt(0, config)
    updates = [json.loads(line) for line in (tmp_path / "x" / "metrics.jsonl").read_text().splitlines()]

    adapter = Adapter.from_config(CONFIGS / "digits.yaml", given)
    attach_metrics(adapter.engine, task_metrics(num_classes=10, ema=adapter.norm_ema is not None, source=True))
    not_measured_here = {"images", "images_per_second", "seconds"}
    stream = build_stream(config, data_of(config).tasks)
    for batch, logits, update in zip(stream, predicted, updates, strict=True):
        wanted = {key: batch[key] for key in ("index", "task", "labels", "last")}  # type: ignore[literal-required]
        assert torch.equal(adapter(batch["images"], **wanted), logits)
        state, output = adapter.engine.state, adapter.output
        assert output is not None
        own = {"iteration": state.iteration, "task": batch["task"], "update_loss": output["loss"]}
        own |= {**state.metrics, **output["diagnostics"]}
        expected = {key: value for key, value in update.items() if key not in not_measured_here}
        assert {key: own[key] if own[key] == own[key] else None for key in expected} == expected


def test_images_are_numbered_as_they_come() -> None:
    adapter = toy_adapter()
    met: list[tuple[str, list[int], bool]] = []

    @adapter.engine.on(Events.ITERATION_COMPLETED)
    def write(engine: Engine) -> None:
        batch: Any = engine.state.batch
        met.append((batch["task"], batch["index"].tolist(), batch["first"]))

    adapter(noise(2))
    adapter(list(noise(3)))
    adapter(noise(1), task="other")
    adapter(noise(2), task="other", index=[7, 3])
    adapter(noise(1), task="other", last=True)
    adapter(noise(1), task="other")
    assert met == [
        ("stream", [0, 1], True),
        ("stream", [2, 3, 4], False),
        ("other", [0], True),
        ("other", [7, 3], False),
        ("other", [8], False),
        ("other", [0], True),
    ]
    assert adapter.images == 10


def test_another_seed_another_task_and_other_numbers_are_other_draws() -> None:
    def learnt(seed: int = 2024, **where: Any) -> dict[str, Any]:
        adapter = toy_adapter(seed=seed)
        adapter(noise(4), **where)
        return weights(adapter)["classifier"]

    same = learnt()
    assert_identical(same, learnt(index=[0, 1, 2, 3], task="stream"))
    for other in (learnt(seed=1), learnt(task="other"), learnt(index=[0, 1, 2, 4])):
        assert any(not torch.equal(same[name], other[name]) for name in same)


def test_events_are_those_of_a_run() -> None:
    adapter = toy_adapter()
    fired: list[str] = []
    wanted = [Events.STARTED, Events.EPOCH_STARTED, TaskEvents.TASK_STARTED, Events.ITERATION_STARTED]
    wanted += [Events.ITERATION_COMPLETED, TaskEvents.TASK_COMPLETED, TaskEvents.UPDATE_COMPLETED]
    for event in wanted:
        adapter.engine.add_event_handler(event, fired.append, event.name.lower())
    adapter.engine.add_event_handler(Events.ITERATION_COMPLETED(every=2), fired.append, "every second")
    adapter(noise(1))
    one = ["task_started", "iteration_started", "iteration_completed", "update_completed"]
    assert fired == ["started", "epoch_started", *one]
    fired.clear()
    adapter(noise(1), last=True)
    again = ["iteration_started", "iteration_completed", "every second", "task_completed", "update_completed"]
    assert fired == again
    assert (adapter.engine.state.iteration, adapter.engine.state.epoch) == (2, 1)


# Predicting only


def test_predicting_changes_nothing() -> None:
    adapter = toy_adapter()
    first = adapter.predict(noise(4))
    adapter(noise(3))
    before = adapter.state_dict()
    logits = adapter.predict(noise(4))
    assert not torch.equal(logits, first)
    assert_identical(adapter.state_dict(), before)
    assert torch.equal(adapter(noise(4)), logits)  # predictions are made before the update


def test_while_paused_calls_only_predict() -> None:
    adapter = toy_adapter()
    adapter(noise(3))
    before = adapter.state_dict()
    adapter.pause()
    assert torch.equal(adapter(noise(4)), adapter.predict(noise(4)))
    assert adapter.source_logits is not None
    assert len(adapter.source_logits) == 4
    with adapter.paused():
        adapter.resume()
        assert adapter.is_paused
        adapter(noise(4))
    assert_identical(adapter.state_dict(), before)
    assert not adapter.is_paused
    adapter(noise(4))
    assert adapter.images == 7


def test_methods_that_learn_nothing_predict_what_they_say() -> None:
    adapter = Adapter(toy_classifier(), method=Lame.Options())
    assert torch.equal(adapter.predict(noise(6)), adapter(noise(6)))
    assert not torch.equal(adapter.predict(noise(6)), adapter.classifier(noise(6) / 255))


def test_a_prediction_of_the_setting_episodic_is_the_source_models() -> None:
    adapter = toy_adapter(setting="episodic")
    before = adapter.predict(noise(4))
    assert not torch.equal(adapter(noise(4)), before)  # predicted after the update
    assert torch.equal(adapter.predict(noise(4)), before)
    assert torch.equal(adapter.source_logits, before)


def test_the_callers_modes_have_no_effect() -> None:
    def logits(mode: Callable[[], Any]) -> torch.Tensor:
        adapter = toy_adapter()
        with mode():
            for seed in range(3):
                out = adapter(noise(4, seed=seed).double() / 255)
        return out.clone()

    plain = logits(torch.enable_grad)
    for mode in (torch.no_grad, torch.inference_mode, lambda: torch.autocast("cpu", dtype=torch.bfloat16)):
        assert torch.equal(logits(mode), plain)


# From the beginning, and from where it was


def test_after_a_reset_all_is_as_at_the_beginning() -> None:
    adapter = toy_adapter(monitor=MonitorOptions(window=4, action="rollback"), setting="continual")
    fresh = copy.deepcopy(adapter.state_dict())
    batches = [noise(4, seed=seed) for seed in range(4)]
    logits = [adapter(batch) for batch in batches]
    end = copy.deepcopy(adapter.state_dict())
    adapter.reset()
    assert_identical(adapter.state_dict(), fresh)
    assert (adapter.images, adapter.engine.state.iteration, adapter.warnings) == (0, 0, {})
    for batch, before in zip(batches, logits, strict=True):
        assert torch.equal(adapter(batch), before)
    assert_identical(adapter.state_dict(), end)


@pytest.mark.parametrize("method", ["dusa", "cotta"])
def test_a_saved_adapter_goes_on(tmp_path: Path, method: str) -> None:
    given = [
        "run.num_threads=1",
        f"method.name={method}",
        "data={name: image_folder, root: /nowhere, micro_batch_size: 4}",
    ]
    adapter = Adapter.from_config(CONFIGS / "digits.yaml", given)
    for seed in range(3):
        adapter(noise(8, seed=seed))
    adapter.save(tmp_path / "state")
    assert sorted(path.name for path in (tmp_path / "state").iterdir()) == ["adapter.pt", "config.yaml"]
    other = Adapter.load(tmp_path / "state")
    assert other.images == 24
    for seed in range(3, 5):
        assert torch.equal(adapter(noise(8, seed=seed)), other(noise(8, seed=seed)))
    assert_identical(adapter.state_dict(), other.state_dict())
    other.save(tmp_path / "state")
    assert_identical(Adapter.load(tmp_path / "state").state_dict(), other.state_dict())
    other.reset()
    assert torch.equal(other.predict(noise(8)), Adapter.from_config(CONFIGS / "digits.yaml", given)(noise(8)))


def test_what_was_made_of_parts_is_restored(tmp_path: Path) -> None:
    adapter = toy_adapter()
    adapter(noise(4))
    adapter.save(tmp_path)
    with pytest.raises(CheckpointError, match=r"holds no config\.yaml.*adapter\.restore"):
        Adapter.load(tmp_path)
    other = toy_adapter()
    other.restore(tmp_path)
    assert torch.equal(other(noise(4, seed=1)), adapter(noise(4, seed=1)))


def test_inside_a_checkpoint_of_ignites() -> None:
    adapter, kept = toy_adapter(), {}

    def serve(engine: Engine, images: torch.Tensor) -> torch.Tensor:
        return adapter(images)

    def keep(checkpoint: Any, *_: Any) -> None:
        kept.update(copy.deepcopy(checkpoint))

    trainer = Engine(serve)
    trainer.add_event_handler(Events.ITERATION_COMPLETED(once=2), Checkpoint({"adapter": adapter}, keep))
    trainer.run([noise(4, seed=seed) for seed in range(3)])
    other = toy_adapter()
    Checkpoint.load_objects({"adapter": other}, {"adapter": kept})
    assert torch.equal(other(noise(4, seed=2)), trainer.state.output)
    assert_identical(other.state_dict(), adapter.state_dict())


def test_a_state_of_something_else_is_refused(tmp_path: Path) -> None:
    adapter = toy_adapter()
    adapter(noise(4))
    before = adapter.state_dict()
    others = {
        r"optimizer\.lr is 0\.001, but the state was saved with 0\.002": toy_adapter(optimizer=Adam(lr=2e-3)),
        r"seed is 2024, .* with 1;": toy_adapter(seed=1),
        r"optimizer\.name is adam, .* with sgd": toy_adapter(optimizer=Sgd(lr=1e-3)),
    }
    classifier = toy_classifier().double()
    with torch.no_grad():
        next(classifier.parameters()).add_(1)
    options = Dusa.Options(num_top=2, num_random=2)
    more: dict[str, Any] = {"optimizer": Adam(lr=1e-3), "monitor": MonitorOptions(window=6)}
    others[r"weights_sha256\.classifier is \w{12}\.\.\., "] = Adapter(classifier, toy_guide().double(), options, **more)
    for said, other in others.items():
        with pytest.raises(CheckpointError, match=said):
            adapter.load_state_dict(other.state_dict())
    with pytest.raises(CheckpointError, match="the state has format 999, this version of dusa_ignite reads"):
        adapter.load_state_dict({**before, "format_version": 999})
    with pytest.raises(CheckpointError, match="not the state of an adapter"):
        adapter.load_state_dict({})
    with pytest.raises(CheckpointError, match=r"adapter\.pt: there is no such file"):
        adapter.restore(tmp_path)
    adapter.save(tmp_path)
    content = bytearray((tmp_path / "adapter.pt").read_bytes())
    content[len(content) // 2] ^= 255
    (tmp_path / "adapter.pt").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"adapter\.pt: cannot be read \(.*start afresh"):
        adapter.restore(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match="the adapter's state is not saved"):
        adapter.save(tmp_path / "file")
    assert_identical(adapter.state_dict(), before)


# Parts that do not fit


def test_parts_that_do_not_fit() -> None:
    classifier, guide = toy_classifier(), toy_guide()
    wrong: list[tuple[str, Callable[[], Any]]] = [
        ("method dusa needs one", lambda: Adapter(classifier)),
        ("method tent has no use for one", lambda: Adapter(classifier, guide, Tent.Options())),
        ("a Linear; wrap it", lambda: Adapter(torch.nn.Linear(2, 2), guide)),  # type: ignore[arg-type]
        ("'often' is not allowed; allowed: fully", lambda: Adapter(classifier, guide, setting="often")),
        ("is on meta, the classifier on cpu", lambda: Adapter(classifier, copy.deepcopy(guide).to("meta"))),
        ("which cotta, an average", lambda: Adapter(classifier, method=Cotta.Options(), setting="episodic")),
        ("nothing can learn", lambda: Adapter(toy_classifier(trainable="none"), method=Cotta.Options())),
    ]
    for said, make in wrong:
        with pytest.raises(ConfigError, match=said):
            make()


def test_models_are_in_eval_mode() -> None:
    guide = toy_guide().train()
    adapter = Adapter(toy_classifier(), guide, Dusa.Options(num_top=2, num_random=2))
    assert {module.training for model in (guide, adapter.classifier) for module in model.modules()} == {False}


def test_a_config_that_an_adapter_cannot_have() -> None:
    config = load_config(CONFIGS / "digits.yaml")
    with pytest.raises(ValueError, match="overrides are of a file"):
        Adapter.from_config(config, ["seed=1"])
    for override, said in (
        ("data.score_over=present", "data.score_over: present tells"),
        ("distributed.strategy=fsdp", "an adapter works in one process"),
    ):
        with pytest.raises(ConfigError, match=said):
            Adapter.from_config(CONFIGS / "digits.yaml", [override])
    with pytest.raises(ConfigError, match="neither a file nor a shipped config"):
        Adapter.from_config("no-such")


def test_what_a_method_lets_learn() -> None:
    learning = Adapter(toy_classifier(), method=Tent.Options()).classifier
    assert {p.requires_grad for p in learning.parameters()} == {True, False}
    assert isinstance(learning, Classifier)
    assert learning.num_classes == CLASSES


def test_an_adapter_does_not_segment() -> None:
    with pytest.raises(ConfigError, match="problem: segmentation is for runs; an adapter classifies"):
        Adapter.from_config(CONFIGS / "shapes.yaml")
