"""What the network is asked for: the stems' names, in order, as embedded texts."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax

from gmsdi_jax.build import Model
from gmsdi_jax.config import ModelConfig
from gmsdi_jax.errors import ConfigError
from gmsdi_jax.methods import Prompts, SeparationConfig
from gmsdi_jax.prompts import is_set, presence, spell
from gmsdi_jax.types import Params


def chosen(
    config: ModelConfig,
    stems: Sequence[str],
    method: SeparationConfig,
    constrained: str | None = None,
    negative: str = "",
    negatives: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Options of a separator: those given, and where none is, what the model's configuration has.

    Args:
        config: of the model.
        method: decides what matters: ``dirac`` has a constrained source, guidance negatives.
        stems: that are asked for; what was chosen for others does not matter.
        constrained: as in `WindowSeparator`; None for the model's own.
        negative: as there; any but the empty one stands for the model's own negatives, too.
        negatives: as there; None for the model's own, an empty dict for none.
    """
    names = {stem.lower() for stem in stems}
    is_own = method.method == "dirac" and (config.constrained or "").lower() in names
    if constrained is None and is_own:
        constrained = config.constrained
    if negatives is None:
        own = {} if negative or method.guidance == 1 else config.negatives
        negatives = {stem: text for stem, text in own.items() if stem.lower() in names}
    return {"constrained": constrained, "negative": negative, "negatives": negatives}


def prompts_for(
    model: Model,
    params: Params,
    stems: Sequence[str],
    negative: str = "",
    negatives: Mapping[str, str] | None = None,
) -> Prompts:
    """The embedded texts for `stems`; the rest of each is all the others.

    Args:
        model: the model.
        params: its weights.
        stems: one prompt per stem.
        negative: what guidance points away from; empty for the learned null.
        negatives: negative prompts of single stems, by the stems' prompts.

    Raises:
        ConfigError: the model does not know a name, or a negative belongs to no stem.
    """
    rests = [", ".join([*stems[:i], *stems[i + 1 :]]) for i in range(len(stems))]
    texts = (list(stems), rests, [negative])
    prompts = Prompts(*(model.embed(params, model.prompt(rows)) for rows in texts))
    if not negatives:
        return prompts
    own = {name.lower(): text for name, text in negatives.items()}
    unknown = set(own) - {stem.lower() for stem in stems}
    if unknown:
        raise ConfigError(f"negative of {min(unknown)!r}: it is not among {', '.join(stems)}")
    each = model.prompt([own.get(stem.lower(), negative) for stem in stems])
    return prompts._replace(negatives=model.embed(params, each))


def prompt_shapes(model: Model, params: Params, stems: int) -> Prompts:
    """What `prompts_for` returns for so many stems, as shapes; neither words nor encoder needed."""
    counts = stems, stems, 1
    return jax.eval_shape(
        lambda params, prompts: Prompts(*(model.embed(params, prompt) for prompt in prompts)),
        params,
        [model.prompt_shapes(count) for count in counts],
    )


def with_rest(model: Model, stems: Sequence[str]) -> list[str]:
    """The stems and, where more may sound, one text of all that nobody asked for.

    That text lists the labels that are left; a model that knows no labels hears no text instead.
    """
    labels = model.config.labels
    hint = f"this model knows {', '.join(labels)}" if labels else "this model reads any words"
    if not stems:
        raise ConfigError(f"name at least one stem; {hint}")
    spelled = [spell(stem, labels) for stem in stems]
    for stem, text in zip(stems, spelled, strict=True):
        if not text:
            raise ConfigError(f"stem {stem!r} is empty: name one; {hint}")
    words = [text for text in spelled if model.reads_words and not is_set(text, labels)]
    asked = presence([text for text in spelled if text not in words], labels).sum(0)
    twice = [label for label, count in zip(labels, asked, strict=True) if count > 1]
    twice += [text for text in words if words.count(text) > 1]
    if twice:
        raise ConfigError(f"stem {twice[0]!r} is asked for twice: name every stem once")
    rest = [label for label, count in zip(labels, asked, strict=True) if not count]
    return [*stems, ", ".join(rest)] if rest or not labels else list(stems)


def constrained_last(
    texts: Sequence[str], stems: Sequence[str], constrained: str | None
) -> list[int]:
    """The order of `texts` with the constrained one at the end."""
    names = [text.lower() for text in texts]
    if constrained is not None and constrained.lower() not in names[: len(stems)]:
        raise ConfigError(f"constrained stem {constrained!r} is not among {', '.join(stems)}")
    wanted = constrained_by_default(stems) if constrained is None else constrained
    last = names.index(wanted.lower()) if wanted else len(texts) - 1
    return [i for i in range(len(texts)) if i != last] + [last]


def constrained_by_default(stems: Sequence[str]) -> str | None:
    """The stem that is constrained where nobody says: the paper's best choice, if it is there."""
    return next((stem for stem in stems if stem.lower() == "drums"), None)
