"""The whole chain: memory does not grow with the song, and stems null against the input."""

import tracemalloc

import numpy as np

from gmsdi_jax.audio import (
    OverlapAdd,
    Reader,
    StreamResampler,
    Writer,
    plan,
    probe,
    read,
    windows,
    write,
)

RATE, MODEL_RATE = 44100, 22050


def to_model(blocks):
    """Mono blocks at the rate of the model from the blocks of a song."""
    stream = StreamResampler(RATE, MODEL_RATE, 1)
    for block in blocks:
        yield stream.push(block.mean(axis=1, keepdims=True))
    yield stream.push(np.zeros((0, 1), np.float32), last=True)


def separate(blocks, length, window=2**15):
    """Blocks of three stems [t 3] at the rate of the song: shares of the mono mixture."""
    stream = windows(to_model(blocks), plan(window, 0.25))
    joined = OverlapAdd(stream.plan)
    back = StreamResampler(MODEL_RATE, RATE, 3, length)
    shares = np.array([0.5, 0.3, 0.2], np.float32)[:, None, None]
    for _, mixture in stream:
        stems = joined.push(shares * mixture)
        yield back.push(stems[..., 0].T)
    yield back.push(joined.finish(stream.frames)[..., 0].T, last=True)


def peak_bytes(seconds: int) -> int:
    block = np.random.default_rng(0).uniform(-0.1, 0.1, (RATE, 2)).astype(np.float32)
    tracemalloc.start()
    frames = sum(len(stems) for stems in separate((block for _ in range(seconds)), seconds * RATE))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert frames == seconds * RATE
    return peak


def test_memory_is_independent_of_length():
    assert peak_bytes(600) < 1.3 * peak_bytes(60)


def test_stems_and_residual_sum_to_the_song(tmp_path, tone):
    length = 3 * RATE + 1
    song = tone(3.1, RATE)[:length]
    path = tmp_path / "song.flac"
    write(path, song, RATE)
    song, _ = read(path)

    def blocks():
        with Reader(path) as reader:
            while len(block := reader.take(10_000)):
                yield block

    total = np.zeros_like(song)
    with (
        Reader(path) as again,
        Writer(tmp_path / "residual.wav", RATE, 2, frames=length) as residual,
    ):
        for stems in separate(blocks(), probe(path).frames):
            total[again.position : again.position + len(stems)] = stems.sum(axis=1, keepdims=True)
            residual.write(again.take(len(stems)) - stems.sum(axis=1, keepdims=True))
    rest, _ = read(tmp_path / "residual.wav")
    np.testing.assert_allclose(total + rest, song, atol=1e-6)
    # The stems sum to the mono mixture, at its own time.
    mono = song.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(total[4000:-4000], np.repeat(mono, 2, axis=1)[4000:-4000], atol=1e-3)
