"""Which of MTG-Jamendo's tars and lists, from where, and how they are known."""

import re

import pytest

from data_pipelines.download import jamendo
from data_pipelines.download.jamendo import BLOBS, MIRRORS, SUMS, lists, parse_parts, tars
from gmsdi_jax.errors import ConfigError, InputError


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("0", [0]),
        ("98,99", [98, 99]),
        ("0-97,98,99", list(range(100))),
        ("5-7, 6, 1-2", [1, 2, 5, 6, 7]),
        ("00-03", [0, 1, 2, 3]),
    ],
)
def test_parts_are_numbers_and_ranges(text, numbers):
    assert parse_parts(text) == tuple(numbers)


@pytest.mark.parametrize(
    "text", ["", ",", "1,", "a", "-1", "1-", "3-1", "100", "98-100", "1.5", "1--2", "٣", "9" * 50]
)
def test_other_parts_are_refused(text):
    with pytest.raises(ConfigError, match=r"^--parts .*(such as 0-97,98,99|from 0 to 99)"):
        parse_parts(text)


def test_the_lists_are_pinned_at_one_commit():
    files = lists()
    assert len(files) == 5 + 15
    for file in files:
        assert file.url == (
            "https://raw.githubusercontent.com/MTG/mtg-jamendo-dataset/"
            f"1b4fa8c32e076c73b5175c1703ae805b4109309d/{file.path}"
        )
        assert file.checksum.kind == "git blob"
        assert re.fullmatch("[0-9a-f]{40}", file.checksum.value)
    splits = {path for path in BLOBS if "split-" in path}
    assert splits == {
        f"data/splits/split-{number}/autotagging-{split}.tsv"
        for number in range(5)
        for split in ("train", "validation", "test")
    }
    assert len(set(BLOBS.values())) == len(BLOBS)
    assert lists("http://host/copy/")[0].url == f"http://host/copy/{files[0].path}"


def test_tars_have_the_sums_of_the_list(tmp_path):
    """Its lines are a sum, one space and a name."""
    sums = tmp_path / "sums.txt"
    sums.write_text("".join(f"{n:064x} raw_30s_audio-low-{n:02d}.tar\n" for n in range(100)))
    first, last = tars(sums, [0, 99])
    assert first.url == f"{MIRRORS['cdn']}/raw_30s_audio-low-00.tar"
    assert (last.path, last.checksum) == ("raw_30s_audio-low-99.tar", ("sha256", f"{99:064x}"))
    assert last.archive is not None
    assert last.archive.folder == "99"
    assert tars(sums, [7], "http://host/x/")[0].url == "http://host/x/raw_30s_audio-low-07.tar"
    sums.write_text(f"{1:064x}  raw_30s_audio-low-01.tar\nnonsense\n")
    with pytest.raises(InputError, match=r"sums\.txt: raw_30s_audio-low-01\.tar is not in it"):
        tars(sums, [1])


def test_the_mirrors_are_the_authors():
    assert set(MIRRORS) == {"cdn", "mtg"}
    assert all(url.startswith("https://") for url in (*MIRRORS.values(), jamendo.LISTS_AT))
    assert SUMS in BLOBS
