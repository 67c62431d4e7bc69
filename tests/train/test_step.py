"""One training step: what it does to the state and what it reports."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from gmsdi_jax.train.step import drop_text, report, row_draws
from gmsdi_jax.types import Tokens


def host(tree):
    return jax.tree.map(np.array, tree)


def test_loss_falls_on_a_fixed_batch(start, batches):
    """Five short schedules on one batch; judged before and after with the draws of step 0."""
    step, state = start()
    batch, fresh = next(batches()), host(state.opt_state)
    _, first = step(jax.tree.map(jnp.copy, state), batch)
    for _ in range(5):
        state = state._replace(opt_state=jax.tree.map(jnp.array, fresh))
        for _ in range(6):
            state, _ = step(state, batch)
    _, last = step(state._replace(step=jnp.zeros((), jnp.int32)), batch)
    assert float(last["loss"]) < 0.6 * float(first["loss"])


def test_state_is_donated_and_counted(start, batches):
    """The old state's memory is reused, and the step counts up by one."""
    step, state = start()
    after, _ = step(state, next(batches()))
    assert int(after.step) == 1
    leaves = [*jax.tree.leaves(state.params), *jax.tree.leaves(state.ema)]
    assert all(leaf.is_deleted() for leaf in leaves)


def test_same_seed_same_bits(start, batches):
    """Two runs from one seed agree to the bit; another step draws other noise."""

    def two_steps(first):
        step, state = start()
        state = state._replace(step=jnp.asarray(first, jnp.int32))
        source = batches()
        for _ in range(2):
            state, metrics = step(state, next(source))
        return host(state.params), float(metrics["loss"])

    (params, loss), (again, loss_again), (_, other) = (two_steps(n) for n in (0, 0, 10))
    jax.tree.map(assert_array_equal, params, again)
    assert loss == loss_again != other


def test_seed_decides_the_noise(start, batches):
    """The step's text holds its seed: another seed is another function of the same state."""
    _, state = start()
    step, other = (start(seed=seed)[0] for seed in (0, 1))
    batch = next(batches())
    texts = {function.lower(state, batch).as_text() for function in (step, other)}
    assert len(texts) == 2


def test_draws_belong_to_the_row(config):
    """Row r of a batch draws the same sigma and noise whatever the batch's size."""
    settings, key = config(), jax.random.key(3)
    few = row_draws(key, settings, jnp.arange(2), jnp.zeros((2, 64, 1)))
    many = row_draws(key, settings, jnp.arange(5), jnp.zeros((5, 64, 1)))
    for a, b in zip(few, many, strict=True):
        assert_array_equal(a, b[:2])
    sigma, noise, _ = many
    assert len(set(np.asarray(sigma).tolist())) == 5
    assert abs(np.corrcoef(np.asarray(noise)[..., 0])[0, 1]) < 0.5


def test_null_is_drawn_at_its_rate(config):
    """One row in four loses its text; ln sigma has the configured mean and deviation."""
    sigma, _, drop = row_draws(
        jax.random.key(0), config(null=0.25), jnp.arange(20_000), jnp.zeros((20_000, 1, 1))
    )
    assert_allclose(np.mean(np.asarray(drop)), 0.25, atol=0.015)
    logs = np.log(np.asarray(sigma))
    assert_allclose([logs.mean(), logs.std()], [-3, 1], atol=0.03)


def test_buckets_add_up_to_the_loss(start, batches):
    """Summed losses over summed rows are the mean loss; plain and mixed rows are told apart."""
    step, state = start()
    _, metrics = step(state, next(batches()))
    loss, rows = (np.asarray(metrics[name]) for name in ("bucket_loss", "bucket_rows"))
    assert_allclose(loss.sum() / rows.sum(), metrics["loss"], rtol=1e-5)
    assert_array_equal(rows.sum(1), [2, 2])
    assert (loss[rows == 0] == 0).all()
    assert float(metrics["gradient"]) > 0


def test_report_is_the_mean_over_steps():
    """Losses are averaged over steps, buckets over rows; a bucket without rows has no entry.

    A step that was left out counts nowhere else.
    """
    fine = {"update": 0.5, "weights": 8.0, "finite": True, "spike": False}
    steps = [
        {
            **fine,
            "loss": 1.0,
            "gradient": 2.0,
            "bucket_loss": np.array([[3.0, 0, 0, 0], [0, 0, 0, 4.0]]),
            "bucket_rows": np.array([[1, 0, 0, 0], [0, 0, 0, 2]]),
        },
        {
            **fine,
            "loss": 2.0,
            "gradient": 4.0,
            "bucket_loss": np.array([[3.0, 0, 0, 0], [0, 0, 0, 0]]),
            "bucket_rows": np.array([[2, 0, 0, 0], [0, 0, 0, 0]]),
        },
    ]
    bad = {**steps[0], "loss": np.nan, "finite": False}
    assert report([bad]) == {"skipped": 1}
    assert report([bad, *steps, {**steps[0], "spike": True}]) == {
        "skipped": 2,
        "loss": 1.5,
        "gradient": 3.0,
        "update": 0.5,
        "weights": 8.0,
        "plain sigma<0.02": 2.0,
        "mixed sigma>0.12": 2.0,
    }


def test_text_is_dropped_from_plain_rows_only(start, batches, config):
    """Where all rows draw the null, a plain row's labels do not count, a mixed row's still do."""
    step, state = start()
    batch = next(batches())
    keys = jax.vmap(lambda n: jax.random.fold_in(jax.random.key(0), n))(jnp.arange(200))
    drop = jax.vmap(
        lambda key: row_draws(key, config(), jnp.arange(len(batch.audio)), batch.audio)[2]
    )(keys)
    number = int(np.flatnonzero(np.asarray(drop).all(1))[0])
    state = state._replace(step=jnp.asarray(number, jnp.int32))
    other = Tokens(batch.prompt.ids, ~batch.prompt.mask)

    def loss(interference, tokens):
        given = batch._replace(interference=interference, prompt=tokens)
        return float(step(jax.tree.map(jnp.copy, state), given)[1]["loss"])

    plain, mixed = jnp.zeros_like(batch.audio), batch.audio[::-1]
    assert loss(plain, batch.prompt) == loss(plain, other)
    assert abs(loss(mixed, batch.prompt) - loss(mixed, other)) > 1e-6


def test_dropped_rows_lose_all_tokens():
    """drop_text empties the chosen rows and leaves the ids and the other rows alone."""
    tokens = Tokens(jnp.zeros((3, 2), jnp.int32), jnp.ones((3, 2), bool))
    dropped = drop_text(tokens, jnp.asarray([True, False, True]))
    assert_array_equal(dropped.mask, [[False, False], [True, True], [False, False]])
    assert_array_equal(dropped.ids, tokens.ids)


@pytest.mark.parametrize(("number", "decay"), [(0, 1 / 20), (30, 31 / 50), (10_000, 0.9)])
def test_average_warms_up(start, batches, number, decay):
    """The average's decay is (n + 1) / (n + 20) until it reaches the configured one."""
    step, state = start()
    state = state._replace(
        step=jnp.asarray(number, jnp.int32), ema=jax.tree.map(lambda leaf: leaf + 1, state.ema)
    )
    old = host(state.ema)
    after, _ = step(state, next(batches()))
    expected = jax.tree.map(lambda o, n: decay * o + (1 - decay) * np.array(n), old, after.params)
    jax.tree.map(lambda a, b: assert_allclose(a, b, atol=1e-5), host(after.ema), expected)
