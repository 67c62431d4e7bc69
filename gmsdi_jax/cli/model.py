"""The model that a command uses: the one that is named, or the one that ships."""

from pathlib import Path

import jax

from gmsdi_jax.errors import UnavailableError
from gmsdi_jax.pipeline import GMSDI, find_model

SHIPPED = Path("examples", "models", "minislakh-tiny")


def default_model() -> Path:
    """The folder of the model that ships, in the checkout of this package or below the cwd.

    Raises:
        UnavailableError: neither is there.
    """
    checkout = Path(__file__).resolve().parents[2]
    for root in (checkout, Path.cwd()):
        if (root / SHIPPED / "config.json").exists():
            return root / SHIPPED
    raise UnavailableError(
        f"{SHIPPED} is neither here nor beside the package: name a model with -m MODEL, run in a "
        "clone of the repository, or train one (gmsdi train experiments/minislakh_tiny.py)"
    )


def chosen_model(model: Path | None) -> Path:
    """The local folder of the model that is named, or of the one that ships.

    Raises:
        UnavailableError: it is neither a folder nor on the hub.
    """
    return default_model() if model is None else find_model(model)


def describe(model: GMSDI) -> str:
    """One line: what computes, and which model."""
    device = jax.devices()[0]
    rate = model.model.config.sample_rate
    stems = ", ".join(model.labels) or "any words"
    return f"{jax.device_count()} x {device.device_kind}; model {model.name}: {stems} at {rate} Hz"
