"""The folder of a report: what it says, what it escapes, and what it never overwrites."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from evaluated import evaluation
from hatchling.builders.wheel import WheelBuilder

from gmsdi_jax.errors import ConfigError, InputError
from gmsdi_jax.report import PAGE, read_run, write_report

ROOT = Path(__file__).resolve().parents[2]
SONGS = {"good": {"ours": 14.0, "other": 8.0}, "bad": {"ours": 10.0, "other": 4.0}}


class Reader(HTMLParser):
    """Collects the words of a page, the elements, and what it points to."""

    def __init__(self, page: str):
        super().__init__()
        self.words, self.tags, self.links, self._inside = [], [], [], ""
        self.feed(page)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.links += [value for name, value in attrs if name in ("src", "href") and value]
        self._inside = tag

    def handle_data(self, data):
        if self._inside not in ("script", "style"):
            self.words.append(data)

    def handle_endtag(self, tag):
        self._inside = ""


def read(path: Path) -> Reader:
    return Reader(path.read_text(encoding="utf-8"))


def test_the_page_says_what_was_measured(tmp_path):
    run = read_run(evaluation(tmp_path / "run", SONGS))
    text = read(write_report(run, tmp_path / "out")).text
    assert "ours: SI-SDR improvement +12.00 dB 10.00 to 14.00" in text
    assert "+12.00 dB over mixture 10.00 to 14.00" in text
    assert "No sound was kept. gmsdi evaluate ... --audio 4 keeps" in text
    assert text.index("1 bad") < text.index("2 good")


def test_the_page_needs_nothing_but_its_folder(tmp_path):
    run = read_run(evaluation(tmp_path / "run", SONGS, keep=SONGS))
    page = write_report(run, tmp_path / "out")
    files = [link for link in read(page).links if not link.startswith(("#", "data:"))]
    assert files
    assert not [file for file in files if not (page.parent / file).is_file()]
    text = page.read_text()
    assert not re.findall(r"https?://", text)
    assert not re.findall(r"@import|fetch\(|XMLHttpRequest", text)
    data = json.loads(text.split('id="data">')[1].split("</script>")[0])
    sounds = [f for s in data["songs"].values() for v in s["versions"] for f in v["files"]]
    assert len(sounds) == 2 * (1 + 2 + 2 * 2)
    assert all((page.parent / file).is_file() for file in sounds)


def test_names_are_escaped_everywhere(tmp_path):
    song = "</script><img src=x onerror=alert(1)> & \"q\" 'r' {{ 7 * 7 }}\n2"
    method = 'a"b<i>&'
    run = read_run(evaluation(tmp_path / "<b>run", {song: {method: 9.0}}, keep=[song]))
    page = write_report(run, tmp_path / "out")
    found = read(page)
    assert " ".join(song.split()) in found.text
    assert not [attrs for tag, attrs in found.tags if "onerror" in attrs]
    assert "<b>run" in found.text
    assert sum(tag == "script" for tag, _ in found.tags) == 2
    assert {attrs.get("data-version") for _, attrs in found.tags} >= {method}
    data = json.loads(page.read_text().split('id="data">')[1].split("</script>")[0])
    assert data["songs"]["0"]["name"] == song


def test_two_runs_are_compared(tmp_path):
    here = read_run(evaluation(tmp_path / "here", SONGS, settings={"steps": 25}))
    worse = {name: {"ours": gains["ours"] - 3.0} for name, gains in SONGS.items()}
    there = read_run(evaluation(tmp_path / "there", worse, settings={"steps": 5}))
    text = read(write_report(here, tmp_path / "out", there)).text
    assert "Against there" in text
    assert "ours active 12.00 9.00 +3.00" in text
    assert "methods.ours.settings.steps 25 5" in text
    assert (
        "Both runs have the same configuration"
        in read(write_report(here, tmp_path / "same", here)).text
    )


def test_a_report_is_replaced_and_nothing_else_is(tmp_path):
    run = read_run(evaluation(tmp_path / "run", SONGS, keep=["bad"]))
    out = tmp_path / "out"
    write_report(run, out)
    (out / "stale").write_text("")
    write_report(run, out)
    assert sorted(path.name for path in out.iterdir()) == [PAGE, "sound"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / PAGE).write_text("my own page")
    for taken in (tmp_path / "mine", tmp_path / "run", tmp_path / "run" / "scores.csv"):
        with pytest.raises(ConfigError, match="name another folder with -o"):
            write_report(run, taken)
    assert (tmp_path / "mine" / PAGE).read_text() == "my own page"


def test_a_failure_leaves_the_old_report_and_no_part_of_a_new_one(tmp_path):
    folder = evaluation(tmp_path / "run", SONGS, keep=["bad"])
    page = write_report(read_run(folder), tmp_path / "out")
    before = page.read_text()
    next((folder / "audio").rglob("Bass.flac")).write_bytes(b"")
    with pytest.raises(InputError):
        write_report(read_run(folder), tmp_path / "out")
    assert page.read_text() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "run"]


def test_the_wheel_has_the_template_the_style_and_the_script():
    files = {f.distribution_path for f in WheelBuilder(str(ROOT)).recurse_included_files()}
    folder = ROOT / "gmsdi_jax" / "report"
    wanted = [path for path in folder.rglob("*") if path.suffix in (".jinja", ".css", ".js")]
    assert len(wanted) == 6
    assert {path.relative_to(ROOT).as_posix() for path in wanted} <= files
