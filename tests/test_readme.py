"""The documentation tells the truth: its Python runs, and the command line has its flags.

Each file's ```python blocks run in order as one program, in an empty folder that shows the
repository's files under their names. A block whose first line is ``# not run`` is only shown.
"""

import re
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [path for path in [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))] if path.exists()]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
GMSDI = "import sys; from gmsdi_jax.cli import main; sys.argv[0] = 'gmsdi'; sys.exit(main())"


def program(page: str) -> str:
    """The runnable Python of a page, each line at the line number that it has in the page."""
    lines = [""] * page.count("\n")
    for block in BLOCK.finditer(page):
        language, code = block.groups()
        if language == "python" and not code.startswith("# not run"):
            first = page.count("\n", 0, block.start(2))
            lines[first : first + code.count("\n")] = code.splitlines()
    return "\n".join(lines).rstrip()


def commands(page: str) -> list[list[str]]:
    """The arguments of every `gmsdi` command in the shell blocks of a page."""
    shell = [
        code for language, code in BLOCK.findall(page) if language in {"bash", "sh", "console"}
    ]
    lines = "\n".join(shell).replace("\\\n", " ").splitlines()
    words = [shlex.split(line.removeprefix("$ "), comments=True) for line in lines]
    return [line[1:] for line in words if line and Path(line[0]).name == "gmsdi"]


@cache
def usage(subcommand: str) -> str:
    """What `gmsdi SUBCOMMAND --help` prints."""
    arguments = [sys.executable, "-c", GMSDI, *subcommand.split(), "--help"]
    shown = subprocess.run(arguments, capture_output=True, text=True, cwd=ROOT, check=False)
    assert shown.returncode == 0, f"gmsdi {subcommand} --help: {shown.stderr}"
    return shown.stdout


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_python_blocks_run(path: Path, tmp_path: Path) -> None:
    source = program(path.read_text())
    if not source:
        pytest.skip("no runnable block")
    for entry in ROOT.iterdir():
        if not entry.name.startswith("."):
            (tmp_path / entry.name).symlink_to(entry)
    script = tmp_path / f"blocks_of_{path.stem}.py"
    script.write_text(source)
    run = subprocess.run(
        [sys.executable, script],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_commands_have_the_flags_that_are_shown(path: Path) -> None:
    for arguments in commands(path.read_text()):
        words = 2 if arguments[:1] == ["data"] else 1  # gmsdi data slakh, but gmsdi separate
        subcommand = " ".join(word for word in arguments[:words] if not word.startswith("-"))
        for flag in (word.split("=")[0] for word in arguments if re.match(r"--?[a-zA-Z]", word)):
            known = re.search(rf"(?<![\w-]){re.escape(flag)}(?![\w-])", usage(subcommand))
            assert known, f"{path.name}: gmsdi {subcommand} has no {flag}"
        usage(subcommand)


def test_blocks_keep_their_line_numbers() -> None:
    page = "# T\n```python\na = 1\n```\n```python\n# not run\nb\n```\n```python\nc = a\n```\n"
    assert program(page) == "\n\na = 1\n\n\n\n\n\n\nc = a"


def test_commands_are_found() -> None:
    page = "```bash\npip install x\n$ gmsdi separate a.wav \\\n    -s Bass  # the bass\n```\n"
    assert commands(page) == [["separate", "a.wav", "-s", "Bass"]]
