"""The HTML report: what it shows, that nothing of it is trusted, and that it needs no network."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path

import pytest
from support.written_runs import write_run

from dusa_ignite.errors import DataError
from dusa_ignite.results.html_report import run_page, runs_page
from dusa_ignite.results.report_content import Content, read_content
from dusa_ignite.results.thumbnails import Thumbnail

HOSTILE = '<script>alert("1")</script>&\''
VOID = {"meta", "img", "line", "path", "circle", "polyline"}


class Page(HTMLParser):
    """Collects what a document holds, and whether its elements are closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.anchors: list[str] = []
        self.text = ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        found = dict(attrs)
        self.addresses += [str(found[key]) for key in ("src", "href") if key in found]
        self.anchors += [str(found["id"])] if "id" in found else []
        assert not [key for key in found if key.startswith("on")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data + "\n"


def content(tmp_path: Path, name: str = "run", **given: object) -> Content:
    made_of = {"classes": {"names": [HOSTILE, "dog", "emu", "cat", "cow"]}, "versions": {"dusa_ignite": "9"}, **given}
    folder = write_run(tmp_path / name, {f"fog {HOSTILE}": "+-+-"}, method="dusa", **made_of)
    (folder / "predictions.csv").write_text(
        "task,index,path,label,predicted,confidence,source_predicted,source_confidence,guide\n"
        + "".join(
            f'"{task}",{index},{HOSTILE.replace(chr(34), "")},{label},{predicted},0.9,{source},0.5,3:0.25 0:0.125\n'
            for task, index, label, predicted, source in [
                (f"fog {HOSTILE}".replace('"', '""'), 0, 3, 3, 3),
                (f"fog {HOSTILE}".replace('"', '""'), 1, 3, 0, 3),
                (f"fog {HOSTILE}".replace('"', '""'), 2, 0, 0, 1),
                (f"fog {HOSTILE}".replace('"', '""'), 3, 3, 4, 4),
            ]
        )
    )
    (folder / "log.txt").write_text(
        f"2026-01-01 00:00:00,000 WARNING dusa_ignite.x: {HOSTILE}\n2026-01-01 00:00:00,000 INFO dusa_ignite.x: no\n"
    )
    pictures = {(f"fog {HOSTILE}", 1): Thumbnail("data:image/png;base64,AAAA", small=True)}
    return read_content(folder, pictures=pictures)


def test_a_labelled_run(tmp_path: Path) -> None:
    page = Page(run_page(content(tmp_path)))
    text = page.text
    for title in (
        "Results", "Along the stream", "Warnings", "Shares of the classes", "Accuracy by class", "Confusions",
        "Images that have changed their class", "What it cost", "How it was made",
    ):  # fmt: skip
        assert f"\n{title}\n" in text, title
    assert "50.0 %" in text  # top-1
    assert f"adapted: \n✗\n {HOSTILE} (90 %)" in text
    assert "source: \n✓\n cat (50 %)" in text
    assert f"guide: \n{HOSTILE}: 0.125\n, \ncat: 0.250" in text  # the smallest error first
    assert "All 2, in the order of the stream." in text
    assert "no picture" in text  # of the other
    assert "name: dusa" in text  # the config


def test_nothing_is_trusted_and_nothing_is_fetched(tmp_path: Path) -> None:
    for html in (
        run_page(content(tmp_path)),
        runs_page({HOSTILE: content(tmp_path, "two")}, comparison=HOSTILE),
    ):
        page = Page(html)
        assert not {"script", "iframe", "link", "object", "form"} & set(page.tags)
        assert all(address.startswith(("#", "data:image/")) for address in page.addresses)
        assert "<script" not in html
        assert "default-src 'none'" in html
        assert HOSTILE in page.text


def test_links_lead_somewhere(tmp_path: Path) -> None:
    page = Page(run_page(content(tmp_path)))
    wanted = [address[1:] for address in page.addresses if address.startswith("#")]
    assert wanted
    assert set(wanted) <= set(page.anchors)
    several = Page(runs_page({"a": content(tmp_path, "a"), "b": content(tmp_path, "b")}, comparison=""))
    assert len(several.anchors) == len(set(several.anchors))


def test_an_unlabelled_run(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", {"fog": "++"})
    (folder / "results.csv").write_text("task,images,agreement,seconds\nfog,2,0.5,1\nmean,2,0.5,1\n")
    (folder / "predictions.csv").write_text(
        "task,index,label,predicted,confidence,source_predicted,source_confidence\nfog,0,-1,1,0.5,1,1\nfog,1,-1,2,1,1,1\n"
    )
    text = Page(run_page(read_content(folder))).text
    assert "No image has a label" in text
    assert "share of the most frequent class" in text
    for absent in ("top-1", "Confusions", "Accuracy by class", "labels\n", "nan"):
        assert absent not in text, absent


def test_many_classes_and_tasks_stay_readable(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", {f"task {number}": "+" * 40 for number in range(75)})
    lines = [
        f"task {task},{index},{(task + index) % 1000},{(7 * task + index) % 1000},0.5,{index},0.5\n"
        for task in range(75)
        for index in range(40)
    ]
    header = "task,index,label,predicted,confidence,source_predicted,source_confidence\n"
    (folder / "predictions.csv").write_text(header + "".join(lines))
    html = run_page(read_content(folder))
    page = Page(html)
    assert page.tags.count("svg") == 30
    assert "The first 30 tasks; 45 more are in the table." in page.text
    assert "The 30 most frequent." in page.text
    assert page.tags.count("figure") == 40
    assert len(html) < 250_000


def test_a_run_of_source_alone(tmp_path: Path) -> None:
    text = Page(run_page(read_content(write_run(tmp_path / "run", {"fog": "+-"})))).text
    assert "adapted, top-1 so far" in text
    assert "source model" not in text
    assert "changed" not in text


def test_several_runs(tmp_path: Path) -> None:
    runs = {name: content(tmp_path, name) for name in ("a", "b")}
    page = Page(runs_page(runs, comparison="minus a"))
    assert page.tags.count("details") >= 2
    for shown in ("The runs", "Accuracy by task", "minus a"):
        assert f"\n{shown}\n" in page.text


def test_a_folder_without_results(tmp_path: Path) -> None:
    (tmp_path / "results.csv").write_text("")
    with pytest.raises(DataError, match="holds no results"):
        read_content(tmp_path)


def test_warnings_are_shown_once(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", {"fog": "+-"})
    line = "2026-01-01 00:00:00,000 WARNING dusa_ignite.handlers.harm_monitor: monitor: fog, update 3: collapse\n"
    (folder / "log.txt").write_text(line + line)
    (folder / "metrics.jsonl").write_text(
        "".join(json.dumps({"task": "fog", "images": n, "window_warnings": n - 1.0}) + "\n" for n in (1, 2))
    )
    found = read_content(folder)
    assert (found.warnings, found.num_warnings) == (["monitor: fog, update 3: collapse"], 1)
    assert found.marks == {"fog": [2]}
    assert '<path class="mark"' in run_page(found)
