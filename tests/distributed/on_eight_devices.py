"""On eight devices: equal to one device and to pmap, an eighth of the work each, nothing exchanged.

Not collected by itself: `test_eight_devices.py` runs this file in a process that has the devices.
Audio is about 0.1, so an error of 1e-6 is rounding.
"""

import re
from collections.abc import Callable
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from gmsdi_jax.build import Model
from gmsdi_jax.config import ModelConfig
from gmsdi_jax.distributed import (
    MANY,
    BatchedCall,
    Plan,
    device_mesh,
    over_windows,
    replicated,
    shard_rows,
    split,
)
from gmsdi_jax.errors import UnavailableError
from gmsdi_jax.methods import SeparationConfig
from gmsdi_jax.models import SpectralConfig, TagsConfig
from gmsdi_jax.pipeline import GMSDI
from gmsdi_jax.types import Text, TextDenoiser

T, D = 1024, 8
MESH = device_mesh()
SPREADS = {"rows": shard_rows, "windows": over_windows}
DIRECT = SeparationConfig(sigmas=(0.1,))
METHODS = {
    "project": SeparationConfig(
        method="project", steps=3, sigmas=(0.1,), weights="local_power", guidance=2.0
    ),
    "dirac": SeparationConfig(method="dirac", steps=3, draws=2),
}


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return 0.1 * np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def rows(count: int):
    """What a network is called with: audio, a noise level per row, text."""
    text = Text(jnp.asarray(10 * noise(count, 2, D, seed=1)), jnp.ones((count, 2), bool))
    sigma = 0.05 + jnp.abs(jnp.asarray(noise(count, seed=2)))
    return jnp.asarray(noise(count, T, 1)), sigma, text


def gaussian(weights, x, sigma, text):
    """The denoiser of white noise whose variance the text decides.

    It sums in a loop that starts from constants, as networks do: `jax.shard_map` checks such loops
    and refuses them, unless it is told not to.
    """
    variance = jnp.exp(jnp.einsum("bsd,d->b", text.embedding, weights))
    gain = variance / (variance + jnp.broadcast_to(sigma, x.shape[:1]) ** 2)
    parts = jnp.einsum("b,btc->btc", gain / 4, x)
    return jax.lax.fori_loop(0, 4, lambda _, total: total + parts, jnp.zeros(x.shape, x.dtype))


@pytest.fixture(scope="module")
def model() -> GMSDI:
    """A tiny model with Fourier transforms inside; weights are random."""
    network = SpectralConfig(
        text_features=D, fft=256, fine_bins=64, width=16, dilations=(1,), components=4
    )
    config = ModelConfig(network=network, conditioner=TagsConfig(features=D), window=T)
    rng = np.random.default_rng(0)

    def draw(like):
        return jnp.asarray(rng.standard_normal(like.shape) / np.sqrt(like.shape[0]), like.dtype)

    return GMSDI(config, jax.tree.map(draw, Model(config).shapes), "tiny")


def simple(weights) -> TextDenoiser:
    """`gaussian` with these weights."""
    return partial(gaussian, weights["w"])


WEIGHTS = {"w": jnp.asarray(noise(D))}


@pytest.fixture(scope="module", params=["gaussian", "spectral"])
def network(request, model) -> tuple[Callable, dict]:
    """A function from weights to a denoiser, and weights."""
    if request.param == "spectral":
        return model.model.denoiser, model.params
    return simple, WEIGHTS


def exchanges(compiled: jax.stages.Compiled) -> list[str]:
    """What devices tell each other: kind and shape, as ``all-gather f32[8,1024,1]``."""
    kinds = "all-gather|all-reduce|all-to-all|collective-[a-z]+|reduce-scatter|ragged-all-to-all"
    found = re.findall(rf"= (\w+\[[\d,]*\])\S* ({kinds})\(", compiled.as_text())
    lines = [line for line in compiled.as_text().splitlines() if "channel_id=" in line]
    assert len(lines) == len(found)
    return [f"{kind} {shape}" for shape, kind in found]


def flops(compiled: jax.stages.Compiled) -> float:
    """Of one device."""
    return compiled.cost_analysis()["flops"]


def test_there_are_eight_devices():
    assert (MESH.size, MESH.axis_names) == (8, ("rows",))


@pytest.mark.parametrize("layout", SPREADS)
def test_every_row_is_what_one_device_answers(network, layout):
    """Eleven rows, with weights that are arguments of the compiled function."""
    make, weights = network
    spread = SPREADS[layout]
    found = jax.jit(lambda w, *args: spread(make(w), MESH)(*args))(weights, *rows(11))
    assert_allclose(found, jax.jit(make(weights))(*rows(11)), atol=1e-6)


@pytest.mark.parametrize("count", [1, 3, 8, 9])
@pytest.mark.parametrize("layout", SPREADS)
def test_any_number_of_rows_may_be_spread(layout, count):
    """Fewer than the devices, as many, no multiple of them."""
    denoise = simple(WEIGHTS)
    found = jax.jit(SPREADS[layout](denoise, MESH))(*rows(count))
    assert_allclose(found, denoise(*rows(count)), atol=1e-6)


@pytest.mark.parametrize("layout", SPREADS)
def test_every_row_is_what_pmap_answers(layout):
    denoise = simple(WEIGHTS)
    folded = jax.tree.map(lambda a: a.reshape(8, 2, *a.shape[1:]), rows(16))
    expected = jax.pmap(denoise)(*folded).reshape(16, T, 1)
    found = jax.jit(SPREADS[layout](denoise, MESH))(*rows(16))
    assert_allclose(found, expected, atol=1e-6)


def test_a_scalar_noise_level_is_every_rows():
    """As samplers call it; without jit too."""
    x, _, text = rows(3)
    denoise, level = simple(WEIGHTS), jnp.float32(0.1)
    found = shard_rows(denoise, MESH)(x, level, text)
    assert_allclose(found, denoise(x, level, text), atol=1e-6)


@pytest.mark.parametrize("count", [1, 8, 11, 96])
def test_a_devices_network_gets_its_share(count):
    """An eighth of the rows, rounded up."""
    seen = []

    def denoise(x, sigma, text):
        seen.append((x.shape, sigma.shape, text.mask.shape))
        return x

    jax.jit(shard_rows(denoise, MESH)).lower(*rows(count))
    share = -(-count // 8)
    assert seen == [((share, T, 1), (share,), (share, 2))]


def test_devices_hold_an_eighth_of_the_rows(network):
    """By where the answer lies: a request for a sharding inside jit would only be a hint."""
    make, weights = network
    given = jax.device_put(rows(16), split(MESH))
    answer = jax.jit(over_windows(make(weights), MESH))(*given)
    assert [shard.data.shape for shard in answer.addressable_shards] == [(2, T, 1)] * 8
    assert len({shard.device for shard in answer.addressable_shards}) == 8
    assert {shard.index[0].start for shard in answer.addressable_shards} == set(range(0, 16, 2))


def test_devices_compute_an_eighth_and_exchange_no_activations(network):
    """Compiled for 16 rows; left to XLA's partitioner, spectra would be gathered everywhere."""
    make, weights = network
    one = flops(jax.jit(make(weights)).lower(*rows(16)).compile())
    placed = {"rows": replicated(MESH), "windows": split(MESH)}
    told = {"rows": [f"all-gather f32[16,{T},1]"], "windows": []}
    for layout, spread in SPREADS.items():
        given = jax.device_put(rows(16), placed[layout])
        compiled = jax.jit(spread(make(weights), MESH)).lower(*given).compile()
        assert_allclose(flops(compiled) / one, 1 / 8, rtol=0.02)
        assert exchanges(compiled) == told[layout]


@pytest.mark.parametrize("layout", SPREADS)
def test_the_gradient_is_one_devices(network, layout):
    """Not eight times that, as where the body of a pmapped training step is moved to shard_map."""
    make, weights = network
    target = jnp.asarray(noise(11, T, 1, seed=3))

    def loss(weights, spread):
        return 100 * jnp.mean((spread(make(weights))(*rows(11)) - target) ** 2)

    expected = jax.jit(jax.grad(partial(loss, spread=lambda denoise: denoise)))(weights)
    spread = partial(SPREADS[layout], mesh=MESH)
    found = jax.jit(jax.grad(partial(loss, spread=spread)))(weights)
    scale = max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(expected))
    assert scale > 1e-3
    for leaf, like in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert_allclose(leaf / scale, like / scale, atol=1e-5)


def test_directional_derivatives_pass():
    """As the covariance of a projection takes them."""
    denoise = simple(WEIGHTS)
    x, sigma, text = rows(3)
    tangent = jnp.asarray(noise(3, T, 1, seed=3))
    found, expected = (
        jax.jvp(lambda x, f=f: f(x, sigma, text), (x,), (tangent,))[1]
        for f in (shard_rows(denoise, MESH), denoise)
    )
    assert_allclose(found, expected, atol=1e-6)


@pytest.fixture(scope="module", params=METHODS)
def separator(request, model) -> Callable:
    """Makes the separator of one method, on so many devices with so many windows per call."""

    @cache
    def make(devices: int, rows: int):
        config, some = METHODS[request.param], jax.devices()[:devices]
        return model.separator(None, config, rows=rows, devices=some)

    return make


def assert_same(found: np.ndarray, expected: np.ndarray) -> None:
    """Equal to rounding: random weights make some methods loud."""
    scale = np.abs(expected).max()
    assert scale > 0.05
    assert_allclose(found / scale, expected / scale, atol=3e-6)


@pytest.fixture(scope="module")
def alone(separator) -> np.ndarray:
    """The stems of eleven windows, one by one on one device."""
    return separator(1, 1)(noise(11, T, 1), 5)


@pytest.mark.parametrize(
    ("devices", "per_call", "layout"),
    [(2, 4, "windows"), (8, 1, "rows"), (8, 3, "rows"), (8, 8, "windows")],
)
def test_stems_do_not_depend_on_devices_or_batch(separator, alone, devices, per_call, layout):
    """Eleven windows on 2 and 8 devices, however many share a call, whichever way it is spread."""
    spread = separator(devices, per_call)
    assert (spread.plan.devices, spread.plan.layout) == (devices, layout)
    assert_same(spread(noise(11, T, 1), 5), alone)


@pytest.mark.parametrize("per_call", [3, 8])
def test_a_neighbour_of_nan_spoils_nothing(separator, alone, per_call):
    """A window of NaN answers NaN, and the others what they answer without it."""
    batch = noise(11, T, 1)
    batch[1] = np.nan
    stems = separator(8, per_call)._call(np.arange(5, 16, dtype=np.uint32), batch)
    assert np.isnan(stems[1]).all()
    assert_same(np.delete(stems, 1, 0), np.delete(alone, 1, 0))


def test_whole_windows_are_separated_without_a_word(separator):
    """Of eight windows each device has the work of one, and no exchange at all."""
    one, eight = separator(1, 1)._call.compile(), separator(8, 8)._call.compile()
    assert_allclose(flops(eight), flops(one), rtol=0.02)
    assert exchanges(eight) == []


def test_shared_rows_exchange_audio_alone(separator):
    """Only the answers of the network, once per call of it."""
    shared = separator(8, 3)
    assert shared.plan.layout == "rows"
    padded = -(-shared.plan.rows // 8) * 8
    assert set(exchanges(shared._call.compile())) == {f"all-gather f32[{padded},{T},1]"}


def test_a_whole_separation_is_what_pmap_answers(separator):
    """One window per device, by jax.pmap of the very function that the separator compiles."""
    spread = separator(8, 8)
    run = spread._call._run
    arguments = (*spread._call.placed, np.arange(5, 13, dtype=np.uint32), noise(8, T, 1))
    placed = len(spread._call.placed)
    parallel = jax.pmap(
        lambda *given: run(lambda denoise: denoise, *given), in_axes=(None,) * placed + (0, 0)
    )
    folded = (a.reshape(8, 1, *a.shape[1:]) for a in arguments[placed:])
    found = parallel(*arguments[:placed], *folded)
    assert_same(np.asarray(found).reshape(8, 4, T, 1), spread(noise(8, T, 1), 5))


def test_a_joined_song_is_what_one_device_answers(model):
    """One state of many windows, whose rows the devices share."""
    song = noise(3 * T, 2)
    one, eight = (
        model.separate(song, ["Bass"], DIRECT, joined=True, devices=jax.devices()[:n])
        for n in (1, 8)
    )
    assert_same(eight.stems["Bass"], one.stems["Bass"])


def test_the_plan_is_said(model):
    """As the issue wants it said: 24 windows of four stems."""
    separator = model.separator(None, DIRECT, rows=24)
    assert str(separator.plan) == "8 devices, 96 rows per call"
    assert model.separator(None, METHODS["project"]).plan.rows == 8 * 4 * 2  # a window each
    assert model.separator(None, METHODS["dirac"]).plan.rows == 8 * 4 * 2


def wide(weights, x, sigma, text):
    """A denoiser with eight transforms per row: most memory is the network's, as in earnest."""
    spectra = jnp.fft.rfft(jnp.einsum("btc,d->bdt", x, weights))
    return jnp.fft.irfft(spectra * spectra.conj(), T).mean(1)[..., None]


def planned(most: int = MANY) -> BatchedCall:
    """A call of four rows per window, to be measured."""

    def run(spread, weights, x):
        n = 4 * x.shape[0]
        text = Text(jnp.ones((n, 1, D)), jnp.ones((n, 1), bool))
        return spread(partial(wide, weights))(jnp.repeat(x, 4, axis=0), jnp.float32(0.1), text)[::4]

    window = (jax.ShapeDtypeStruct((T, 1), np.float32),)
    return BatchedCall(run, (jnp.ones(D),), window, 4, windows="auto", most=most)


def test_a_measured_plan_fills_the_memory(monkeypatch):
    """Given what 64 windows need, 64 windows share a call, unless there are fewer."""
    limit = int(planned()._measure(64, "windows"))
    monkeypatch.setattr("gmsdi_jax.distributed.call.free_bytes", lambda mesh: limit)
    assert planned().plan == Plan(8, 64, 256, "windows", needed=limit, limit=limit)
    assert planned(most=24).plan.windows == 24
    assert planned(most=3).plan.layout == "rows"
    x = noise(100, T, 1)
    assert_allclose(planned()(x), planned(most=5)(x), atol=1e-6)


def test_windows_too_large_for_a_device_are_shared(monkeypatch):
    """Where no device can take a window by itself, they share its rows."""
    shared, whole = (planned()._measure(*each) for each in ((1, "rows"), (8, "windows")))
    limit = int((shared + whole) / 2)
    assert shared < limit < whole
    monkeypatch.setattr("gmsdi_jax.distributed.call.free_bytes", lambda mesh: limit)
    plan = planned().plan
    assert (plan.layout, plan.limit) == ("rows", limit)
    assert shared <= plan.needed <= limit
    monkeypatch.setattr("gmsdi_jax.distributed.call.free_bytes", lambda mesh: 1000)
    with pytest.raises(UnavailableError, match="one window needs"):
        planned().compile()
