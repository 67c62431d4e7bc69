"""Songs and prompts in, stems out: a model with its weights, used from Python.

    model = GMSDI.from_pretrained("examples/models/minislakh-tiny")
    result = model.separate("song.wav", ["Bass", "Drums"])
    result.save("separated/song")

The command line does the same through the same functions.
"""

from gmsdi_jax.pipeline.ahead import generation_ahead, separation_ahead
from gmsdi_jax.pipeline.draw import GenerationConfig
from gmsdi_jax.pipeline.gmsdi import GMSDI
from gmsdi_jax.pipeline.hub import find_model
from gmsdi_jax.pipeline.result import Stems
from gmsdi_jax.pipeline.stream import WindowSeparator, separate_blocks
from gmsdi_jax.pipeline.texts import constrained_by_default, prompts_for

__all__ = [
    "GMSDI",
    "GenerationConfig",
    "Stems",
    "WindowSeparator",
    "constrained_by_default",
    "find_model",
    "generation_ahead",
    "prompts_for",
    "separate_blocks",
    "separation_ahead",
]
