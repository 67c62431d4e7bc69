"""The house's floors: who may import whom, held by reading the imports of every file.

A module imports strictly lower rows, so any row can be read, tested and reused without the ones
above it. The fences keep each large dependency in one place.
"""

import ast
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROWS = (
    {"types", "errors", "stft"},
    {"models", "audio", "arrays", "prompts", "data", "metrics", "distributed"},
    {"convert", "encoders"},
    {"compose", "diffusion"},
    {"tasks", "baselines"},
    {"methods"},
    {"config"},
    {"build", "weights", "presets"},
    {"train", "pipeline", "report"},
    {"evaluate", "generation", "console", "data_pipelines"},
    {"sweep"},
    {"cli", "experiments"},
    {"__init__", "__main__"},
)
ROW = {module: row for row, modules in enumerate(ROWS) for module in modules}

# Narrower than its row: the mathematics needs nothing of ours, preparation of data no models.
SEES_ONLY = {
    "compose": {"types", "errors", "stft"},
    "diffusion": {"types", "errors"},
    "tasks": {"types", "errors", "compose", "diffusion"},
    "data_pipelines": {"types", "errors", "audio", "data"},
}
PURE = {"compose", "diffusion", "tasks"}  # jax alone, so that anyone can bring their own model
FENCES = {
    "flax": {"models", "convert", "build"},
    "jax.sharding": {"distributed", "train"},
    "jax.shard_map": {"distributed", "train"},
    "jax.pmap": set(),
    "optax": {"train"},
    "orbax": {"train"},
    "tensorboardX": {"train"},
    "wandb": {"train"},
    "grain": {"data"},
    "array_record": {"data"},
    "apache_beam": {"data_pipelines.beam"},
    "tensorflow_datasets": {"data_pipelines.builders"},
    "tyro": {"cli"},
    "soundfile": {"audio"},
    "soxr": {"audio"},
    "huggingface_hub": {"pipeline"},
    "transformers": {"encoders"},
    "pyarrow": {"metrics"},
    "torch": set(),
    "tensorflow": {"convert"},
}
PACKAGES = ("gmsdi_jax", "data_pipelines", "experiments")
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def home(dotted: str) -> str:
    """The module of `ROWS` that a dotted name belongs to, as `gmsdi_jax.audio.files` to audio."""
    package, _, rest = dotted.partition(".")
    return (rest.split(".")[0] or "__init__") if package == "gmsdi_jax" else package


def imports(dotted: str, source: str) -> Iterator[str]:
    """Dotted names of all that a module imports, also inside functions, relative ones resolved.

    What is reached as an attribute of ``jax`` counts as imported.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = dotted.rpartition(".")[0]
            base = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            names = [alias.name for alias in node.names if alias.name != "__version__"]
            within = base in ("gmsdi_jax", "jax")
            yield from ([f"{base}.{name}" for name in names] if within else [base])
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) == "jax":
            yield f"jax.{node.attr}"


def violations(dotted: str, source: str) -> list[str]:
    """One sentence for each import of a module that the table does not allow."""
    here = home(dotted)
    if here not in ROW:
        return [f"{dotted}: {here} stands in no row of ROWS: give it one"]
    found = []
    for name in imports(dotted, source):
        top, there = name.split(".")[0], home(name)
        fence = next((f for f in FENCES if f"{name}.".startswith(f"{f}.")), None)
        if top in PACKAGES:
            if there == here:
                continue
            if there not in ROW:
                found.append(f"{name}: stands in no row of ROWS")
            elif ROW[there] >= ROW[here]:
                found.append(f"{name}: row {ROW[there]} is not below row {ROW[here]}")
            elif there not in SEES_ONLY.get(here, ROW):
                found.append(f"{name}: {here} sees only {sorted(SEES_ONLY[here])}")
        elif fence and not {here, dotted, dotted.rpartition(".")[0]} & FENCES[fence]:
            found.append(f"{name}: only {sorted(FENCES[fence]) or 'nobody'} may import {fence}")
        elif here in PURE and top not in {"jax", "jaxtyping"} | sys.stdlib_module_names:
            found.append(f"{name}: {here} imports jax and jaxtyping alone")
    return [f"{dotted} imports {line}" for line in found]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_imports_only_what_its_row_allows(path: Path) -> None:
    dotted = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    found = violations(dotted, path.read_text())
    assert not found, "\n".join(found)


def test_files_are_short_enough_to_read() -> None:
    lines = {path: len(path.read_text().splitlines()) for path in FILES}
    assert not {str(path.relative_to(ROOT)): n for path, n in lines.items() if n > 400}


def test_no_file_has_a_name_that_says_nothing() -> None:
    empty = {"util", "utils", "helper", "helpers", "manager", "misc", "common"}
    names = [path.relative_to(ROOT).with_suffix("") for path in FILES]
    assert not [str(name) for name in names if empty & set(name.parts)]


@pytest.mark.parametrize(
    ("dotted", "source"),
    [
        ("gmsdi_jax.compose.coupling", "import flax.nnx"),
        ("gmsdi_jax.compose.coupling", "import numpy as np"),
        ("gmsdi_jax.compose.coupling", "from gmsdi_jax.diffusion import sample"),
        ("gmsdi_jax.tasks", "from gmsdi_jax import models"),
        ("gmsdi_jax.models.unet1d", "from ..train import step"),
        ("gmsdi_jax.audio.files", "from gmsdi_jax.data.shards import read"),
        ("gmsdi_jax.train.loop", "def f():\n    import torch"),
        ("gmsdi_jax.pipeline", "import soundfile"),
        ("gmsdi_jax.pipeline", "from jax.sharding import Mesh"),
        ("gmsdi_jax.pipeline", "import jax\njax.shard_map(f)"),
        ("gmsdi_jax.pipeline", "from jax import pmap"),
        ("gmsdi_jax.types", "from gmsdi_jax import GMSDI"),
        ("gmsdi_jax.manager", ""),
        ("data_pipelines.slakh", "import gmsdi_jax.models"),
        ("data_pipelines.slakh", "import apache_beam"),
        ("data_pipelines.beam", "import tensorflow_datasets"),
    ],
)
def test_a_forbidden_import_is_caught(dotted: str, source: str) -> None:
    assert len(violations(dotted, source)) == 1


@pytest.mark.parametrize(
    ("dotted", "source"),
    [
        ("gmsdi_jax.tasks", "import jax.numpy as jnp\nfrom gmsdi_jax.compose import couple"),
        ("gmsdi_jax.audio.files", "import soundfile\nfrom .windows import overlap_add"),
        ("gmsdi_jax.pipeline", "from gmsdi_jax import __version__\nimport numpy"),
        ("experiments.mini", "from gmsdi_jax.train import loop"),
        ("gmsdi_jax.distributed.mesh", "import jax\njax.sharding.Mesh"),
        ("data_pipelines.slakh", "from gmsdi_jax.data.shards import write_shards\nimport mido"),
        ("data_pipelines.beam", "from apache_beam.options import pipeline_options"),
        ("data_pipelines.builders.slakh2100", "import tensorflow_datasets as tfds"),
    ],
)
def test_an_allowed_import_passes(dotted: str, source: str) -> None:
    assert not violations(dotted, source)
