"""Records what transformers' T5 encoder answers, for `test_t5.py`. Run by hand; needs torch.

    pip install -e ".[parity]" transformers==5.23.0
    python tests/parity/record_t5.py [--full]

Weights are drawn, ours, and handed to `T5EncoderModel` through `gmsdi_jax.convert.t5`. Attention is
transformers' plain one: only it answers texts of which no token counts. ``--full`` compares
networks of the published sizes, with transformers' own random weights, and records nothing: drawn
like ours, queries are eight times larger than T5's are, and six layers of attention to single
tokens magnify every rounding. It prints our errors beside those of transformers' own float32
against its float64.
"""

import argparse
import copy
import sys
from pathlib import Path

import numpy as np
import torch
import transformers
from transformers.models.t5.modeling_t5 import T5Attention

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent))

from parity.t5_case import BUCKETS, CONFIGS, LAYERED, LENGTHS, answers, module, texts  # noqa: E402
from parity.weights import draw, openings  # noqa: E402

from gmsdi_jax.arrays import flatten, unflatten  # noqa: E402
from gmsdi_jax.convert.names import to_ours, to_theirs  # noqa: E402
from gmsdi_jax.convert.t5 import T5_ENCODER  # noqa: E402
from gmsdi_jax.models.t5 import T5Config  # noqa: E402
from gmsdi_jax.types import Params  # noqa: E402

PUBLISHED = {
    "t5-small": T5Config(),
    "t5-v1_1-small": T5Config(layers=8, heads=6, hidden=1024, gated=True),
}


def sizes(config: T5Config) -> transformers.T5Config:
    """Our configuration as transformers says it."""
    return transformers.T5Config(
        vocab_size=config.vocabulary, d_model=config.features, d_kv=config.head_features,
        d_ff=config.hidden, num_layers=config.layers, num_heads=config.heads,
        relative_attention_num_buckets=config.buckets,
        relative_attention_max_distance=config.max_distance, layer_norm_epsilon=config.epsilon,
        feed_forward_proj="gated-gelu" if config.gated else "relu",
    )  # fmt: skip


def published(config: T5Config) -> transformers.T5EncoderModel:
    """transformers' encoder, with its random weights."""
    torch.manual_seed(0)
    model = transformers.T5EncoderModel(sizes(config)).eval()
    model.set_attn_implementation("eager")
    return model


def load(model: transformers.T5EncoderModel, config: T5Config, params: Params) -> None:
    """Our weights into transformers' encoder, the embeddings under both of their names."""
    flat = {name: np.asarray(leaf) for name, leaf in flatten(params).items()}
    theirs = to_theirs(flat, T5_ENCODER.rules(config))
    theirs |= {other: theirs[name] for other, name in T5_ENCODER.copies.items()}
    model.load_state_dict({name: torch.from_numpy(value) for name, value in theirs.items()})


def unload(model: transformers.T5EncoderModel, config: T5Config) -> Params:
    """transformers' random weights, ours; those that start alike or small are drawn anew."""
    with torch.no_grad():
        for name, value in model.named_parameters():
            if name.endswith("layer_norm.weight"):
                value.uniform_(0.7, 1.3)
            elif "relative_attention_bias" in name:
                value.normal_()
    theirs = {name: value.numpy() for name, value in model.state_dict().items()}
    return unflatten(to_ours(theirs, T5_ENCODER.rules(config)).arrays)


def their_answers(model: transformers.T5EncoderModel, config: T5Config, length: int) -> dict:
    """As `answers`, by the published code."""
    heard = {}

    def hook(name):
        def keep(module, args, output):
            del module, args
            heard[name] = (output[0] if isinstance(output, tuple) else output).numpy()

        return keep

    encoder = model.encoder
    layers = {"tokens": encoder.embed_tokens, "states": encoder.final_layer_norm}
    layers |= {f"layer {i}": block for i, block in enumerate(encoder.block)}
    handles = [layer.register_forward_hook(hook(name)) for name, layer in layers.items()]
    ids, mask = map(torch.from_numpy, texts(config, length))
    with torch.no_grad():
        last = model(ids.long(), attention_mask=mask.long()).last_hidden_state.numpy()
    for handle in handles:
        handle.remove()
    np.testing.assert_array_equal(last, heard["states"])
    return heard


def recorded_answers(name: str, config: T5Config) -> dict[str, np.ndarray]:
    """What they hold, their answers to texts of all lengths; our largest errors are printed."""
    params = draw(module(config).shapes)
    load(model := published(config), config, params)
    held = {n: value.numpy() for n, value in model.state_dict().items()}
    recorded = {f"{name}, openings": openings(held)}
    for length in LENGTHS:
        theirs = their_answers(model, config, length)
        for layer, ours in answers(config, length, params):
            recorded[f"{name}, {length}, {layer}"] = theirs[layer]
            print(f"{name}, {length} tokens, {layer:8} {error(ours, theirs[layer]):.1e}")
    return recorded


def compare(name: str, config: T5Config) -> None:
    """Prints our errors, and those of their float32 against their float64."""
    params = unload(model := published(config), config)
    exact = copy.deepcopy(model).double()
    for length in (8, LAYERED, 300):
        theirs, best = their_answers(model, config, length), their_answers(exact, config, length)
        for layer, ours in answers(config, length, params):
            own = error(theirs[layer], best[layer])
            print(f"{name}, {length} tokens, {layer:8} {error(ours, theirs[layer]):.1e} {own:.1e}")


def error(ours, theirs: np.ndarray) -> float:
    """The largest, relative to the largest number."""
    return float(np.abs(np.asarray(ours) - theirs).max() / np.abs(theirs).max())


def names(model: torch.nn.Module) -> np.ndarray:
    """The published names and shapes, one a line."""
    shapes = {name: list(value.shape) for name, value in model.state_dict().items()}
    return np.array("\n".join(f"{name} {shape}" for name, shape in shapes.items()))


def buckets(count: int, farthest: int) -> np.ndarray:
    """The buckets of keys from 600 before the query to 600 after it."""
    distances = torch.arange(-600, 601)
    found = T5Attention._relative_position_bucket(distances, True, count, farthest)
    return found.numpy().astype(np.int8)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--full", action="store_true", help="compare the published sizes")
    if parser.parse_args().full:
        for name, config in PUBLISHED.items():
            compare(name, config)
        return
    recorded = {}
    for name, config in CONFIGS.items():
        recorded |= recorded_answers(name, config)
    for count, farthest in BUCKETS:
        recorded[f"{count} buckets to {farthest}"] = buckets(count, farthest)
    with torch.device("meta"):
        for name, config in PUBLISHED.items():
            whole = transformers.T5ForConditionalGeneration(sizes(config))
            recorded[f"names {name}, whole"] = names(whole)
            recorded[f"names {name}"] = names(transformers.T5EncoderModel(sizes(config)))
    np.savez_compressed(HERE / "t5.npz", **recorded)


if __name__ == "__main__":
    main()
