"""All published formats that are known here."""

import difflib

from gmsdi_jax.convert.adp import ADP_43, ADP_97, MSDM
from gmsdi_jax.convert.clap import CLAP_HF, CLAP_LAION
from gmsdi_jax.convert.format import Format
from gmsdi_jax.convert.t5 import T5_ENCODER
from gmsdi_jax.convert.vggish import VGGISH_TF, VGGISH_TORCH
from gmsdi_jax.errors import ConfigError

FORMATS: tuple[Format, ...] = (
    MSDM,
    ADP_43,
    ADP_97,
    T5_ENCODER,
    CLAP_LAION,
    CLAP_HF,
    VGGISH_TORCH,
    VGGISH_TF,
)


def named(name: str) -> Format:
    """The format of that name.

    Raises:
        ConfigError: there is none.
    """
    known = {kind.name: kind for kind in FORMATS}
    if name not in known:
        close = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}"
        raise ConfigError(f"format {name!r} is unknown: {hint}")
    return known[name]
