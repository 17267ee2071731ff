"""Kills runs with SIGKILL at random moments and resumes them; the outcome must be that of a run left in peace.

    python tests/kill_and_resume.py --kills 36

prints the tally and exits with 1 if anything differs. Moments are drawn in start-up, in making the folder and its first
files, in updates, in writing checkpoints and results, and between tasks (where the process kills itself), and at random
times (where its parent does).
"""

from __future__ import annotations

import argparse
import csv
import itertools
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import matplotlib.figure  # noqa: F401 -- here, not in every forked process
import pytest
import sklearn.datasets  # noqa: F401 -- likewise
import torch
from ignite.engine import Engine
from safetensors.torch import load_file
from support import cheap_runs

from dusa_ignite.config import Config, load_config
from dusa_ignite.data.digits import CorruptedDigits
from dusa_ignite.engine import batch_of
from dusa_ignite.handlers import ClassifierExport, TaskResults, atomic_saver
from dusa_ignite.models import Guide
from dusa_ignite.models.weights import save_weights
from dusa_ignite.results.rows import TIME_COLUMNS
from dusa_ignite.runs import adapt as adapt_module
from dusa_ignite.runs import assemble
from dusa_ignite.runs import finish as finish_module
from dusa_ignite.runs.checkpoints import load_newest

ROOT = Path(__file__).parents[1]
OVERRIDES = [
    "data.corruptions=[fog, contrast, shot_noise]",
    "data.limit=72",
    "data.clean_root=null",
    "data.batch_size=16",  # 5 updates a task, the last of 8 images
    "data.micro_batch_size=16",
    "run.precision=float32",
    "run.num_threads=1",
    "checkpoint.every_updates=2",
    "export=classifier",
    "resume=auto",
]
MOMENTS = ["start-up", "folder", "sync", "update", "save", "replace", "between tasks", "results", "any time"]
RUNS = list(itertools.product(("fully", "continual"), ("dusa", "source")))


def configure(folder: Path, setting: str, method: str) -> Config:
    """A small run on digits."""
    overrides = [*OVERRIDES, f"output_dir={folder}", "name=run", f"setting={setting}", f"method.name={method}"]
    return load_config(ROOT / "configs" / "digits.yaml", overrides)


def kill_myself(*args: object, **kwargs: object) -> None:
    """As abrupt as it gets: no handler, no clean-up."""
    os.kill(os.getpid(), signal.SIGKILL)


def after(count: int, original: Callable) -> Callable:
    """``original``, but at call number ``count`` the process dies in it: half-way for a file, at once for the rest."""
    calls = itertools.count(1)

    def wrapped(*args, **kwargs):  # type: ignore[no-untyped-def]
        if next(calls) == count:
            if original is torch.save:
                args[1].write(b"half a checkpoint")
                args[1].flush()
            kill_myself()
        return original(*args, **kwargs)

    return wrapped


def set_trap(moment: str, rng: random.Random) -> None:
    """Arrange for this process to die at a moment of the given kind."""
    few = rng.randint(1, 6)
    if moment == "start-up":
        assemble.build_stream = kill_myself  # type: ignore[assignment]
    elif moment == "folder":  # run_folder.create removes and touches files, whether they are there or not
        Path.unlink = after(rng.randint(1, 24), Path.unlink)  # type: ignore[method-assign]
        Path.touch = kill_myself  # type: ignore[assignment]
    elif moment == "sync":  # with a new file written beside its place
        os.fsync = after(rng.randint(1, 6), os.fsync)
    elif moment == "update":
        torch.Tensor.backward = after(few, torch.Tensor.backward)  # type: ignore[method-assign]
        assemble.classifier_of = trapped_classifier(few, assemble.classifier_of)
    elif moment == "save":
        torch.save = after(rng.randint(1, 4), torch.save)
    elif moment == "replace":
        atomic_saver.os.replace = after(rng.randint(1, 6), os.replace)  # type: ignore[attr-defined]
    elif moment == "between tasks":
        TaskResults.close = after(rng.randint(1, 2), TaskResults.close)  # type: ignore[method-assign]
    elif moment == "results":
        finish_module.write_csv = after(rng.randint(1, 2), finish_module.write_csv)


def export_transformer_too() -> None:
    """At the end of a task, write the transformer's weights beside the classifier's: no checkpoint may hold them."""
    guides: list[Guide] = []
    make, write = assemble.guide_of, ClassifierExport.write

    def guide(config: Config, class_names: Sequence[str]) -> Guide | None:
        made = make(config, class_names)
        guides.extend([made] if made else [])
        return made

    def write_both(self: ClassifierExport, engine: Engine) -> None:
        write(self, engine)
        if guides:
            path = self.folder / f"{batch_of(engine)['task'].replace('/', '_')}.transformer.safetensors"
            save_weights(dict(guides[-1].transformer.state_dict()), path)

    assemble.guide_of = guide
    ClassifierExport.write = write_both  # type: ignore[method-assign]


def trapped_classifier(count: int, original: Callable) -> Callable:
    """Source has no backward pass: die in the classifier's forward pass instead."""

    def wrapped(config: Config):  # type: ignore[no-untyped-def]
        classifier = original(config)
        if config.method.name == "source":
            classifier.backbone.forward = after(count, classifier.backbone.forward)
        return classifier

    return wrapped


def start(config: Config, *, moment: str = "", rng: random.Random | None = None) -> int:
    """Run in a forked process; returns its number."""
    sys.stdout.flush()
    draws = random.Random(rng.random()) if rng else random.Random(0)
    child = os.fork()
    if child:
        return child
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    if moment:
        set_trap(moment, draws)
    export_transformer_too()
    try:
        adapt_module.adapt(0, config)
    except BaseException as error:  # the parent must see any failure as one
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        os._exit(1)
    os._exit(0)


def finish(child: int) -> bool:
    """Wait; whether it ended by itself and well, or (False) was killed."""
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return False
    assert os.WEXITSTATUS(status) == 0, "a run failed"
    return True


def live_and_die(config: Config, moments: Iterable[str], *, rng: random.Random, duration: float) -> Counter[str]:
    """One run, killed at these kinds of moments, one after the other, and resumed until it comes through; the kills."""
    tally: Counter[str] = Counter()
    for moment in moments:
        child = start(config, moment=moment, rng=rng)
        if moment == "any time":
            time.sleep(rng.uniform(0, duration))
            os.kill(child, signal.SIGKILL)
        if finish(child):
            return tally
        tally[moment] += 1
    assert finish(start(config))
    return tally


def differences(one: Path, other: Path, *, setting: str, method: str) -> list[str]:
    """What differs between two finished runs, times apart."""
    found = []
    if rows(one) != rows(other):
        found.append("results.csv")
    if (one / "predictions.csv").read_bytes() != (other / "predictions.csv").read_bytes():
        found.append("predictions.csv")
    files = sorted(file.name for file in (one / "export").glob("*.safetensors"))
    assert len(files) == (3 if method == "source" else 6)
    if files != sorted(file.name for file in (other / "export").glob("*.safetensors")):
        return [*found, "names of exported files"]
    for file in files:
        a, b = load_file(one / "export" / file), load_file(other / "export" / file)
        if a.keys() != b.keys() or not all(torch.equal(a[name], b[name]) for name in a):
            found.append(file)
    a, b = load_newest(one / "checkpoints"), load_newest(other / "checkpoints")
    assert a is not None
    assert b is not None
    assert ("classifier" in a) == (setting == "continual" or method == "source")
    for name in ("classifier", "transformer", "optimizer", "norm_ema", "metrics", "guard"):
        if not same(a.get(name), b.get(name)):
            found.append(f"checkpoint: {name}")
    return found


def rows(folder: Path) -> list[dict[str, str]]:
    """results.csv without the columns that hold times."""
    with (folder / "results.csv").open() as file:
        return [{k: v for k, v in row.items() if k not in TIME_COLUMNS} for row in csv.DictReader(file)]


def same(a: object, b: object) -> bool:
    """Equality of nested states, bit for bit."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        return torch.equal(a, b)
    return a == b or (a != a and b != b)


def prepare(patch: pytest.MonkeyPatch) -> None:
    """Before any fork, what every run would do again: it corrupts the digits, and kills have nothing to do with it."""
    cheap_runs.corrupt_digits_once(patch)
    cheap_runs.leave_out_rendering(patch)
    cheap_runs.leave_out_passes(patch)
    for corruption in ("fog", "contrast", "shot_noise"):
        CorruptedDigits(corruption, 5)


def main() -> int:
    """Run every combination in peace and with kills; print the tally."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--kills", type=int, default=36, help="at least so many in all; every kind of moment from 9 on")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    tally: Counter[str] = Counter()
    completed, differing = 0, []
    each = -(-options.kills // len(RUNS))
    moments = itertools.cycle(rng.sample(MOMENTS, k=len(MOMENTS)))
    with tempfile.TemporaryDirectory() as scratch, pytest.MonkeyPatch.context() as patch:
        prepare(patch)
        for setting, method in RUNS:
            peace = Path(scratch) / f"{setting}_{method}"
            begun = time.monotonic()
            assert finish(start(configure(peace, setting, method)))
            duration = time.monotonic() - begun
            goal = tally.total() + each
            for number in itertools.count():
                trouble = Path(scratch) / f"{setting}_{method}_{number}"
                some = itertools.islice(moments, min(each, len(MOMENTS)))
                tally += live_and_die(configure(trouble, setting, method), some, rng=rng, duration=duration)
                completed += 1
                found = differences(peace / "run", trouble / "run", setting=setting, method=method)
                differing += [f"{setting} {method}: {what}" for what in found]
                if tally.total() >= goal:
                    break
    print("kills by moment:", ", ".join(f"{moment} {count}" for moment, count in sorted(tally.items())))
    print(f"kills {tally.total()}, resumes {tally.total()}, runs {completed}, differences {len(differing)}")
    for what in differing:
        print(f"  {what}")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
