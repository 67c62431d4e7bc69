"""What a published format is: how to know it, which of our networks it holds, and its names."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gmsdi_jax.convert.names import Rule
from gmsdi_jax.types import Params

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, kw_only=True)
class Format:
    """One way in which weights are published."""

    name: str
    """What ``gmsdi convert --format`` calls it."""
    holds: str
    """The network, in words: ``the T5 encoder``."""
    marks: tuple[str, ...]
    """Regular expressions; a file is of this format if each of them matches some whole name."""
    config: Callable[[Shapes, Mapping[str, Any]], Any]
    """Our configuration, from the shapes under their names and the values of a foreign config.json
    (empty where there is none). Raises ValueError with one line where sizes make no sense."""
    rules: Callable[[Any], Sequence[Rule]]
    """The table of names, given our configuration."""
    shapes: Callable[[Any], Params]
    """The shapes that our network wants, given our configuration."""
    prefixes: tuple[str, ...] = ()
    """The first of them that any name has, ignored ones aside, is taken off all that have it."""
    copies: Mapping[str, str] = field(default_factory=dict)
    """Names, without prefix, of arrays that are also there under another name: copy to original.
    Where only the copy is there, it serves; where both are, they must be equal."""
    ignored: tuple[str, ...] = ()
    """Regular expressions of whole names, with or without prefix, without a meaning here: copies,
    buffers, unused heads. One that ends in another's whole name is a copy and must equal it."""
