"""``gmsdi report``: where the page is, and one line where there can be none."""

import pytest
from evaluated import evaluation

SONGS = {"a": {"ours": 12.0}, "b": {"ours": 6.0}}


@pytest.fixture
def run(tmp_path):
    return evaluation(tmp_path / "run", SONGS, keep=["a"])


def test_the_page_is_in_the_run_and_its_path_is_all_of_stdout(gmsdi, run):
    ran = gmsdi("report", run)
    assert ran.code == 0
    assert ran.out == f"{run / 'report' / 'index.html'}\n"
    assert (run / "report" / "index.html").is_file()
    assert gmsdi("report", run, "-q").err == ""


def test_a_second_run_and_another_place(gmsdi, run, tmp_path):
    other = evaluation(tmp_path / "other", {"a": {"ours": 3.0}})
    ran = gmsdi("report", run, other, "-o", tmp_path / "page")
    assert ran.code == 0
    assert "Against other" in (tmp_path / "page" / "index.html").read_text()


def test_without_sound_there_are_tables_and_a_hint(gmsdi, tmp_path):
    ran = gmsdi("report", evaluation(tmp_path / "run", SONGS))
    assert ran.code == 0
    assert "no sound was kept" in ran.err
    assert "gmsdi evaluate ... --audio 4" in ran.err
    assert (tmp_path / "run" / "report" / "index.html").is_file()


def test_what_is_no_evaluation_is_one_line(gmsdi, tmp_path):
    ran = gmsdi("report", tmp_path / "missing")
    assert ran.code == 3
    assert ran.out == ""
    assert ran.err.count("\n") == 1
    assert "make one with `gmsdi evaluate ... -o FOLDER`" in ran.err


def test_a_folder_that_is_in_use_is_not_replaced(gmsdi, run, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("")
    ran = gmsdi("report", run, "-o", tmp_path / "full")
    assert ran.code == 2
    assert "name another folder with -o" in ran.err
    assert (tmp_path / "full" / "thesis.tex").is_file()
