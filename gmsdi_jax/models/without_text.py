"""The conditioner of a network that hears no text: MSDM's."""

from dataclasses import dataclass

from flax import nnx

from gmsdi_jax.types import Text, Tokens, no_text


@dataclass(frozen=True, kw_only=True)
class WithoutTextConfig:
    """The names of what the network was trained on."""

    labels: tuple[str, ...] = ("Bass", "Drums", "Guitar", "Piano")
    """One name per audio channel (MSDM's joint model), or the name of the one source."""

    @property
    def features(self) -> None:
        """There is no text, hence no size of it."""


class WithoutText(nnx.Module):
    """Texts of which no token counts."""

    def __init__(self, config: WithoutTextConfig, *, rngs: nnx.Rngs):
        """Has no weights."""

    def __call__(self, tokens: Tokens) -> Text:
        """As many rows as came in."""
        return no_text(tokens.mask.shape[0])
