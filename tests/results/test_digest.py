"""One pass over predictions.csv: counts, curves, and a fair sample of changed images."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from dusa_ignite.results.digest import SHOWN, digest, number_of_points

FOG = """\
task,index,path,label,predicted,confidence,source_predicted,source_confidence,guide
fog,5,a.png,0,0,0.5,0,0.5,
fog,3,b.png,0,1,0.75,0,0.9,1:0.2 0:0.4
fog,1,c.png,1,1,1.0,0,0.5,
fog,0,d.png,1,0,0.25,1,0.5,
"""


def test_counts_and_curves(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text(FOG + "snow,0,,0,0,1,0,1,\n")
    found = digest(tmp_path / "p.csv", images={"fog": 4})
    assert list(found.tasks) == ["fog"]  # others are left out
    fog = found.tasks["fog"]
    assert (fog.images, fog.asked) == (4, 4)
    whole = found.whole
    assert (whole.images, whole.asked) == (4, 4)
    assert (whole.predicted, whole.by_source) == ({0: 2, 1: 2}, {0: 3, 1: 1})
    assert whole.pairs == {(0, 0): 1, (0, 1): 1, (1, 1): 1, (1, 0): 1}
    assert whole.source_hits == {0: 2, 1: 1}
    assert [point.images for point in fog.points] == [1, 2, 3, 4]
    assert [point.confidence for point in fog.points] == [0.5, 0.75, 1.0, 0.25]
    assert [point.score for point in fog.points] == [1, 1 / 2, 2 / 3, 2 / 4]
    assert [point.source_score for point in fog.points] == [1, 1, 2 / 3, 3 / 4]
    assert [point.agreement for point in fog.points] == [1, 0, 0, 0]
    assert found.num_changed == 3
    assert [(image.position, image.path, image.guide) for image in found.changed] == [
        (3, "b.png", "1:0.2 0:0.4"),
        (1, "c.png", ""),
        (0, "d.png", ""),
    ]


def test_without_labels_and_source(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("task,index,label,predicted,confidence\nfog,0,-1,2,0.5\n")
    found = digest(tmp_path / "p.csv", images={"fog": 1})
    (point,) = found.tasks["fog"].points
    assert (point.images, point.confidence, point.largest) == (1, 0.5, 1)
    assert all(math.isnan(value) for value in (point.agreement, point.score, point.source_score))
    assert (found.changed, found.num_changed) == ([], 0)
    assert not found.whole.pairs


@pytest.mark.parametrize(("images", "points"), [(1, 1), (7, 7), (300, 10), (898, 17), (5000, 40), (10**6, 40)])
def test_every_point_is_of_nearly_equally_many_images(tmp_path: Path, images: int, points: int) -> None:
    assert number_of_points(images) == points
    if images > 5000:
        return
    lines = "".join(f"fog,{index},0,0,1\n" for index in range(images))
    (tmp_path / "p.csv").write_text("task,index,label,predicted,confidence\n" + lines)
    ends = [point.images for point in digest(tmp_path / "p.csv", images={"fog": images}).tasks["fog"].points]
    assert len(ends) == points
    assert ends[-1] == images
    lengths = {end - start for start, end in zip([0, *ends], ends, strict=False)}
    assert max(lengths) - min(lengths) <= 1


def test_the_sample_of_changed_images_is_fair_and_always_the_same(tmp_path: Path) -> None:
    header = "task,index,label,predicted,confidence,source_predicted,source_confidence\n"
    lines = [f"fog,{index},-1,1,1,0,1\n" for index in range(1000)]
    (tmp_path / "one.csv").write_text(header + "".join(lines))
    (tmp_path / "two.csv").write_text(header + "".join(reversed(lines)))
    one, two = (digest(tmp_path / name, images={"fog": 1000}) for name in ("one.csv", "two.csv"))
    chosen = [image.position for image in one.changed]
    assert one.num_changed == 1000
    assert len(chosen) == SHOWN
    assert chosen == sorted(chosen)  # in the order of the run
    assert chosen == [image.position for image in two.changed][::-1]
    assert 300 < sum(chosen) / len(chosen) < 700  # from all over the stream
