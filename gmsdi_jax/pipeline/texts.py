"""What the network is asked for: the stems' names, in order, as embedded texts."""

from collections.abc import Mapping, Sequence

import jax

from gmsdi_jax.build import Model
from gmsdi_jax.errors import ConfigError
from gmsdi_jax.methods import Prompts
from gmsdi_jax.prompts import is_set, presence, spell
from gmsdi_jax.types import Params


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
    names = [text.lower() for text in stems]
    if constrained is not None and constrained.lower() not in names:
        raise ConfigError(f"constrained stem {constrained!r} is not among {', '.join(stems)}")
    if constrained is not None:
        last = names.index(constrained.lower())
    elif "drums" in names:
        last = names.index("drums")
    else:
        last = len(texts) - 1
    return [i for i in range(len(texts)) if i != last] + [last]
