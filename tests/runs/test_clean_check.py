"""Clean images before a run: what is measured on them, that nothing else changes, and when a run does not begin."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support.files import CONFIGS

from dusa_ignite.commands.adapt import main
from dusa_ignite.config import Config, load_config
from dusa_ignite.data.clean import clean_images_of, drawn_evenly
from dusa_ignite.data.digits import CLASSES as DIGITS
from dusa_ignite.data.digits import clean_half
from dusa_ignite.errors import ConfigError, DataError
from dusa_ignite.models.guides.times import uniform
from dusa_ignite.runs.adapt import adapt
from dusa_ignite.runs.assemble import assemble
from dusa_ignite.runs.clean_check import CleanResult, candidate_classes, measure_clean, own_is_smallest
from dusa_ignite.testing.processes import in_processes
from dusa_ignite.testing.toys import CLASSES, toy_classifier, toy_guide
from dusa_ignite.utils.seeding import derive_seed, numpy_generator

QUICK = ("data.corruptions=[fog]", "data.limit=64", "data.clean_images=40")


class Clean:
    """Random images of 7 classes, 16 x 16."""

    def __init__(self, count: int = 30) -> None:
        rng = np.random.default_rng(0)
        self.images = torch.from_numpy(rng.integers(0, 256, (count, 3, 16, 16), dtype=np.uint8))
        self.labels = torch.arange(count) % 7

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.images[index], int(self.labels[index])


def digits(*overrides: str) -> Config:
    return load_config(CONFIGS / "digits.yaml", [*QUICK, *overrides])


def test_the_draw_is_even_seeded_and_within_the_classes() -> None:
    labels = np.array([0] * 50 + [1] * 50 + [2] * 3)
    chosen = drawn_evenly(labels, number=13, seed=1)
    assert np.bincount(labels[chosen]).tolist() == [5, 5, 3]
    assert len(set(chosen)) == 13
    assert chosen == drawn_evenly(labels, number=13, seed=1) != drawn_evenly(labels, number=13, seed=2)
    assert sorted(drawn_evenly(labels, number=1000, seed=1)) == list(range(103))


def test_candidates_are_the_own_class_and_others() -> None:
    classes = candidate_classes([7, 8], [3, 0], num_classes=20, number=10, seed=5)
    assert classes[:, 0].tolist() == [3, 0]
    assert all(len(set(row)) == 10 and max(row) < 20 for row in classes.tolist())
    assert classes[1:].equal(candidate_classes([8], [0], num_classes=20, number=10, seed=5))
    (everything,) = candidate_classes([7], [3], num_classes=6, number=6, seed=5).tolist()
    assert sorted(everything) == list(range(6))


def test_ties_are_shared() -> None:
    errors = torch.tensor([[1.0, 2, 3], [2, 1, 3], [1, 1, 1], [1, 1, 2], [torch.nan, 1, 2]])
    assert own_is_smallest(errors).tolist() == pytest.approx([1, 0, 1 / 3, 1 / 2, 0])


def test_the_classifiers_accuracy_is_that_of_a_plain_evaluation() -> None:
    """All 899 clean digits, in plain torch."""
    config = digits("data.clean_images=1000", "method.name=source")
    parts = assemble(config)
    images, labels = clean_half()
    with torch.no_grad():
        right = (parts.classifier(images / 255).argmax(dim=1) == labels).sum().item()
    assert parts.description["clean_images"] == {"images": 899, "classifier": right / 899}
    assert parts.notes[-1] == f"clean images: classifier {100 * right / 899:.1f} % of 899"


def test_the_guides_accuracy_is_that_of_a_plain_loop() -> None:
    """Image by image, class by class, with the noise and time of the image's own generator."""
    clean, guide, seed = Clean(), toy_guide().double(), 3
    classifier = toy_classifier().double()
    assert classifier.num_classes == CLASSES == 7
    result = measure_clean(
        clean,
        number=20,
        classifier=classifier,
        guide=guide,
        time=uniform(t_min=0.2, t_max=0.8),
        seed=seed,
        batch_size=7,
        micro_batch_size=3,
    )
    right = 0
    order = numpy_generator(seed, "clean", "images").permutation(30)
    chosen = sorted(order, key=lambda image: [other for other in order if other % 7 == image % 7].index(image))[:20]
    for image in map(int, chosen):
        generator = torch.Generator().manual_seed(derive_seed(seed, "clean", "noise", image))
        t = torch.tensor([0.2 + 0.6 * torch.rand((), generator=generator).item()], dtype=torch.float64)
        x0 = guide.encode(clean.images[image][None].double() / 255)
        noise = torch.empty(guide.latent_shape).normal_(generator=generator).double()[None]
        x_t, target, model_time = guide.path(x0, noise, t)
        errors = []
        for label in range(7):
            with torch.no_grad():
                (predicted,) = guide.predict(x_t, model_time, torch.tensor([[label]]))
            errors.append((predicted - target).square().mean().item())
        right += int(np.argmin(errors) == image % 7)
    assert result == CleanResult(20, result.classifier, right / 20, 7)
    assert 0 < right < 20
    assert str(result).endswith(f"; guide {5 * right:.1f} % among 7 classes (chance 14.3 %)")


def test_neither_micro_batches_nor_processes_matter(tmp_path: Path) -> None:
    (alone,) = {str(shared(size)) for size in (1, 4, 64)}
    assert in_processes(shared_text, tmp_path) == [alone, alone]


def shared_text() -> str:
    return str(shared(4))


def shared(micro_batch_size: int) -> CleanResult:
    return measure_clean(
        Clean(),
        number=25,
        classifier=toy_classifier().double(),
        guide=toy_guide().double(),
        time=uniform(t_min=0.2, t_max=0.8),
        seed=3,
        batch_size=7,
        micro_batch_size=micro_batch_size,
    )


def test_results_are_equal_with_and_without(tmp_path: Path) -> None:
    adapt(0, digits(f"output_dir={tmp_path}", "name=with"))
    adapt(0, digits(f"output_dir={tmp_path}", "name=without", "data.clean_root=null"))
    assert (tmp_path / "with/predictions.csv").read_bytes() == (tmp_path / "without/predictions.csv").read_bytes()
    described = json.loads((tmp_path / "with/run.json").read_text())["clean_images"]
    assert described["images"] == 40
    assert described["candidates"] == 10
    assert described["chance"] == 0.1
    assert described["classifier"] > 0.95
    assert described["guide"] > 0.8
    assert "clean_images" not in json.loads((tmp_path / "without/run.json").read_text())
    log = (tmp_path / "with/log.txt").read_text()
    assert log.count("clean images: classifier ") == 1
    assert "clean images" not in (tmp_path / "without/log.txt").read_text()


def test_below_the_minimum_a_run_does_not_begin(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Images of 64 pixels shrink to a classifier that was trained on 32."""
    arguments = ["--config", "digits", *QUICK, f"output_dir={tmp_path}", "method.name=source"]
    wrong = [*arguments, "classifier.image_size=64", "data.clean_minimum=0.9"]
    assert main(wrong) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: data.clean_minimum: the classifier gets ")
    assert "of 40 clean images right, less than 90.0 %; look at classifier.view" in said
    assert "data.classes" in said
    assert "classifier.checkpoint" in said
    assert said.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
    assert main([*arguments, "data.clean_minimum=0.9"]) == 0


def test_a_resumed_run_does_not_look_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = digits(f"output_dir={tmp_path}", "method.name=source", "resume=auto")
    adapt(0, begun)
    folder = tmp_path / "digits"
    (folder / "summary.json").unlink()  # as if it had been cut off before its end
    first = json.loads((folder / "run.json").read_text())["clean_images"]

    def fail(*_: object, **__: object) -> None:
        raise AssertionError("measured again")

    monkeypatch.setattr("dusa_ignite.runs.assemble_models.measure_clean", fail)
    adapt(0, digits(f"output_dir={tmp_path}", "method.name=source", "resume=auto", "data.clean_minimum=1.0"))
    described = json.loads((folder / "run.json").read_text())
    assert described["clean_images"] == first
    assert "clean_images" not in described["resumed"][0]
    assert (folder / "log.txt").read_text().count("clean images: ") == 1


def test_a_run_without_a_checkpoint_begins_again_with_a_look(tmp_path: Path) -> None:
    config = digits(f"output_dir={tmp_path}", "method.name=source", "resume=auto")
    adapt(0, config)
    folder = tmp_path / "digits"
    (folder / "summary.json").unlink()
    for checkpoint in (folder / "checkpoints").iterdir():
        checkpoint.unlink()
    adapt(0, config)
    assert json.loads((folder / "run.json").read_text())["clean_images"]["images"] == 40


def add(path: Path, colour: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4), (colour, 0, 0)).save(path)


def test_class_folders_are_the_tasks_classes(tmp_path: Path) -> None:
    add(tmp_path / "dog/1.png", 9)
    add(tmp_path / "Cat/1.png")
    clean = clean_images_of(str(tmp_path), ("cat", "cow", "dog"))  # a class without images is fine
    assert [clean[i][1] for i in range(2)] == [0, 2]
    assert clean[1][0][0, 0, 0] == 9
    add(tmp_path / "dgo/1.png")
    with pytest.raises(DataError, match=r"dgo: is not in data.classes \(nearest: 'dog'\)"):
        clean_images_of(str(tmp_path), ("cat", "cow", "dog"))


@pytest.mark.parametrize("path", ["1.png", "night/1.png", "night/dog/1.png"])
def test_other_layouts_are_refused(tmp_path: Path, path: str) -> None:
    add(tmp_path / path)
    add(tmp_path / path.replace("night", "day"))
    with pytest.raises(DataError, match=r"data.clean_root must hold class folders, <class>/<image>"):
        clean_images_of(str(tmp_path), ("cat", "dog"))


def test_embedded_is_for_the_digits() -> None:
    assert len(clean_images_of("embedded", DIGITS)) == 899
    with pytest.raises(DataError, match=r"data.clean_root: embedded is for data.name=digits"):
        clean_images_of("embedded", ("a", "b"))


def test_unreadable_images_stop_or_are_left_out(tmp_path: Path) -> None:
    for label in range(6):
        add(tmp_path / f"{label}/1.png")
    (tmp_path / "3/1.png").write_bytes(b"")
    clean = clean_images_of(str(tmp_path), tuple("012345"))
    options = {"number": 9, "guide": None, "time": None, "seed": 0, "batch_size": 2, "micro_batch_size": 2}
    with pytest.raises(DataError, match=r"3/1.png: cannot read this image"):
        measure_clean(clean, classifier=toy_classifier(), **options)
    assert measure_clean(clean, classifier=toy_classifier(), skip_unreadable=True, **options).images == 5


def test_a_minimum_needs_images() -> None:
    with pytest.raises(ConfigError, match=r"data.clean_minimum: 0.5 needs data.clean_root"):
        digits("data.clean_root=null", "data.clean_minimum=0.5")
