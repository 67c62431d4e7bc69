"""The frame of all commands: help, errors in one line, exit codes."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

import gmsdi_jax
from gmsdi_jax.cli import COMMANDS
from gmsdi_jax.console import Console


def test_help_lists_every_command(gmsdi):
    ran = gmsdi("--help")
    assert (ran.code, ran.err) == (0, "")
    for name, command in COMMANDS.items():
        assert f"{name} " in ran.out
        assert command.summary in ran.out


def test_help_is_quick_and_loads_neither_jax_nor_tyro():
    code = (
        "import sys; from gmsdi_jax.cli import main; main(['--help']); "
        "sys.exit(bool({'jax', 'tyro', 'numpy'} & set(sys.modules)))"
    )
    spent = []
    for _ in range(2):  # the first one may have to write byte code
        started = time.monotonic()
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
        spent.append(time.monotonic() - started)
    assert min(spent) < 2


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(gmsdi, name):
    ran = gmsdi(*name.split(), "--help")
    assert (ran.code, ran.err) == (0, "")
    assert f"gmsdi {name}" in ran.out


def test_version(gmsdi):
    assert gmsdi("--version") == (0, f"gmsdi {gmsdi_jax.__version__}\n", "")


def test_no_command_is_a_usage_error(gmsdi):
    ran = gmsdi()
    assert (ran.code, ran.out) == (2, "")
    assert "separate" in ran.err


def test_data_alone_lists_its_commands(gmsdi):
    ran = gmsdi("data", "--help")
    assert ran.code == 0
    assert "data slakh" in ran.out
    assert "separate " not in ran.out
    assert gmsdi("data").code == 2


@pytest.mark.parametrize(
    ("typed", "meant"), [(["seperate"], "separate"), (["data", "slack"], "data slakh")]
)
def test_an_unknown_command_is_named_with_what_was_meant(gmsdi, typed, meant):
    ran = gmsdi(*typed)
    assert ran.code == 2
    assert (
        ran.err == f"gmsdi: error: unknown command {' '.join(typed)!r}: did you mean {meant!r}?\n"
    )


def test_an_unknown_flag_is_a_usage_error(gmsdi):
    ran = gmsdi("separate", "song.wav", "--stems-please")
    assert (ran.code, ran.out) == (2, "")
    assert "--stems-please" in ran.err


def test_debug_shows_the_trace_wherever_it_stands(gmsdi, tmp_path):
    for arguments in (["--debug", "models", tmp_path], ["models", tmp_path, "--debug"]):
        ran = gmsdi(*arguments)
        assert ran.code == 4
        assert "Traceback" in ran.err
        assert ran.err.splitlines()[-1].startswith("gmsdi: error: ")
    assert "Traceback" not in gmsdi("models", tmp_path).err


def test_an_unexpected_error_is_one_line(gmsdi, monkeypatch):
    def broken(arguments, console):
        raise RuntimeError("first\nsecond")

    monkeypatch.setattr("gmsdi_jax.cli.about.env", broken)
    ran = gmsdi("env")
    assert ran.code == 1
    assert ran.err.startswith("gmsdi: unexpected error: RuntimeError: first second (run again")
    assert len(ran.err.splitlines()) == 1
    assert "Traceback" in gmsdi("env", "--debug").err


def test_models_and_env(gmsdi, model, tmp_path):
    row = gmsdi("models", model)
    assert row.code == 0
    assert "Bass, Drums, Guitar, Piano; 22050 Hz" in row.out
    assert "parameters" in row.out
    assert gmsdi("models", tmp_path).code == 4
    env = gmsdi("env")
    assert env.code == 0
    assert "jax " in env.out
    assert "device 0: " in env.out


def test_a_closed_pipe_is_no_trace(model):
    """`gmsdi models | head -0`: nobody reads, nothing is printed about it."""
    with subprocess.Popen(
        [sys.executable, "-m", "gmsdi_jax", "env"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 74


def test_progress_is_plain_lines_without_a_terminal(capsys, monkeypatch):
    monkeypatch.setattr("gmsdi_jax.console.LINE_EVERY", 0.0)
    with Console().progress("song", "s") as advance:
        advance(30, 120, "2.0x realtime")
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("song: 30 / 120 s, 2.0x realtime, ")
    assert err.endswith(" s left\n")


def test_progress_says_nothing_in_the_first_ten_seconds(capsys):
    with Console().progress("song", "s") as advance:
        advance(30, 120, "2.0x realtime")
    assert capsys.readouterr() == ("", "")


def test_progress_is_a_bar_on_a_terminal(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    with Console().progress("[song]", "s") as advance:
        advance(30, 120, "2.0x realtime")
    out, err = capsys.readouterr()
    assert out == ""
    assert "[song]" in err
    assert "30 / 120 s" in err
    assert "2.0x realtime" in err


def test_quiet_leaves_errors_only(capsys):
    console = Console(quiet=True)
    console.say("hello")
    with console.progress("song", "s") as advance:
        advance(30, 120, "")
    console.error(ValueError("no"))
    assert capsys.readouterr() == ("", "gmsdi: error: no\n")


def test_the_model_that_ships_is_found_or_asked_for(monkeypatch, tmp_path, gmsdi):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("gmsdi_jax.cli.model.SHIPPED", Path("nowhere"))
    ran = gmsdi("separate", "song.wav")
    assert ran.code == 4
    assert "-m MODEL" in ran.err
    assert "gmsdi train" in ran.err
