"""Records what the published samplers answer, for `test_samplers.py`. Run by hand; needs torch.

    pip install -e ".[parity]"
    python tests/parity/record_samplers.py --msdm DIR --k-diffusion DIR --adp DIR

The folders are checkouts of the published code, of which nothing is copied here:

- gladia-research-group/multi-source-diffusion-models at 76def82 (MSDM),
- crowsonkb/k-diffusion at 4601bf0,
- archinetai/audio-diffusion-pytorch at v0.0.43 (ADP), the version that MSDM pins.

Every sampler hears a denoiser in closed form, and instead of drawing noise takes arrays of one
list, from its first on: the file holds that list, each sampler's answer, and how many arrays it
took.
Everything is float32 and of one shape, two windows of four sources of six samples.
"""

import argparse
import functools
import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from unittest import mock

import numpy as np
import torch

HERE = Path(__file__).parent
SHAPE = (2, 4, 6)
# What the published modules import, and their samplers do not use.
UNUSED = ("PIL", "einops_exts", "einops_exts.torch", "main.data", "main.module_base", "safetensors",
          "scipy", "torchaudio", "torchdiffeq", "torchsde", "torchvision",
          "torchvision.transforms")  # fmt: skip


class Tape:
    """The noise that samplers draw, and what they answer."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng, self.draws, self.position = rng, [], 0
        self.answers: dict[str, np.ndarray] = {}

    def draw(self, *shape: int) -> torch.Tensor:
        assert shape == SHAPE, shape
        if self.position == len(self.draws):
            self.draws.append(self.rng.standard_normal(SHAPE, np.float32))
        self.position += 1
        return torch.from_numpy(self.draws[self.position - 1].copy())

    def record(self, name: str, run: Callable[[], torch.Tensor]) -> None:
        self.position = 0
        like = mock.patch.object(torch, "randn_like", lambda x: self.draw(*x.shape))
        with mock.patch.object(torch, "randn", self.draw), like, torch.no_grad():
            answer = run().numpy()
        assert np.isfinite(answer).all(), name
        self.answers[name] = answer
        self.answers[f"{name} draws"] = np.asarray(self.position)


def bimodal(x, sigma, mean, variance):
    """The denoiser of samples that are ``N(mean, variance)`` or ``N(-mean, variance)``."""
    sigma = torch.as_tensor(sigma).reshape(-1, 1, 1)
    noisy = variance + sigma**2
    return (variance * x + sigma**2 * mean * torch.tanh(mean * x / noisy)) / noisy


def priors(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Four sources, and the rotation that makes them depend on each other."""
    rotation = np.linalg.qr(rng.standard_normal((4, 4)))[0]
    return {
        "mean": np.array([0.3, 0.5, 0.2, 0.4], np.float32),
        "variance": np.array([0.02, 0.05, 0.01, 0.03], np.float32),
        "rotation": rotation.astype(np.float32),
    }


def dependent(prior: dict[str, np.ndarray]):
    """The denoiser of all four sources, rotated into each other."""
    mean, variance, rotation = (torch.from_numpy(prior[name]) for name in prior)

    def joint(x, sigma):
        return rotation @ bimodal(rotation.T @ x, sigma, mean[:, None], variance[:, None])

    return joint


def independent(prior: dict[str, np.ndarray]):
    """The denoiser of all four sources, each as it is."""
    mean, variance = (torch.from_numpy(prior[name])[:, None] for name in ("mean", "variance"))
    return functools.partial(bimodal, mean=mean, variance=variance)


def record_msdm(tape: Tape, prior: dict[str, np.ndarray], folder: Path) -> None:
    """Separation by its separators, generation and imputation by its notebook."""
    separation = importlib.import_module("main.separation")
    karras = importlib.import_module("audio_diffusion_pytorch").KarrasSchedule
    rng = np.random.default_rng(1)
    signs = torch.from_numpy(rng.choice(np.array([-1, 1], np.float32), SHAPE))
    mean, variance = (torch.from_numpy(prior[name]) for name in ("mean", "variance"))
    sources = signs * mean[:, None]
    mixture = sources.sum(1, keepdim=True)
    tape.answers |= {"sources": sources.numpy(), "mixture": mixture.numpy()}

    joint = dependent(prior)
    single = [
        functools.partial(bimodal, mean=m, variance=v) for m, v in zip(mean, variance, strict=True)
    ]

    def model(denoise):
        inner = SimpleNamespace(diffusion=SimpleNamespace(denoise_fn=denoise))
        return SimpleNamespace(device="cpu", model=inner)

    def dirac(source):
        return functools.partial(separation.differential_with_dirac, source_id=source)

    gaussian = functools.partial(
        separation.differential_with_gaussian, gamma_fn=lambda sigma: 0.75 * sigma
    )
    sigma = torch.tensor(0.3)

    def slope(differential):
        noisy = sources + sigma * torch.randn_like(sources)
        return differential(noisy, sigma, joint, mixture)

    for source in (0, 2):
        tape.record(f"dirac slope, source {source}", lambda s=source: slope(dirac(s)))
    tape.record("gaussian slope", lambda: slope(gaussian))

    def levels(steps, sigma_min, sigma_max):
        sigmas = karras(sigma_min, sigma_max, 7.0)(steps, "cpu")
        tape.answers[f"grid {steps}, {sigma_min:g} to {sigma_max:g}"] = sigmas.numpy()
        return sigmas

    def separate(which, differential, s_churn, resamples=2, steps=150, sigma_min=1e-4):
        settings = {"s_churn": s_churn, "num_resamples": resamples}
        settings |= {"sigma_schedule": karras(sigma_min, 1.0, 7.0), "differential_fn": differential}
        if which == "joint":
            separator = separation.MSDMSeparator(model(joint), list("bdgp"), **settings)
        else:
            models = dict(zip("bdgp", map(model, single), strict=True))
            separator = separation.WeaklyMSDMSeparator(models, **settings)
        levels(steps, sigma_min, 1.0)  # the separator asks for its own
        return torch.cat(list(separator.separate(mixture, steps).values()), dim=1)

    for name, which, source, *settings in [
        ("churn 20", "joint", 0, 20.0),
        ("churn 40", "joint", 2, 40.0),
        ("churn 0", "joint", 3, 0.0, 1),
        ("weakly, churn 20", "weakly", 2, 20.0),
        ("weakly, churn 40", "weakly", 0, 40.0),
        ("coarse", "joint", 0, 20.0, 2, 60, 0.1),
    ]:
        run = functools.partial(separate, which, dirac(source), *settings)
        tape.record(f"dirac, {name}", run)
    for which in ("joint", "weakly"):
        run = functools.partial(separate, which, gaussian, 40.0)
        tape.record(f"gaussian, {which}", run)

    notebook = json.loads((folder / "notebooks" / "MSDM-generation.ipynb").read_text())
    cells = ["".join(cell["source"]) for cell in notebook["cells"]]
    published: dict = {"torch": torch, "Callable": Callable}
    exec("from typing import Optional", published)
    exec(next(cell for cell in cells if "def generate_track" in cell), published)
    mask = torch.zeros(SHAPE)
    mask[:, 1] = 1.0  # the drums are known

    def generate(steps, **settings):
        sigmas, noises = levels(steps, 1e-4, 20.0), torch.randn(*SHAPE)
        return published["generate_track"](joint, sigmas, noises, **settings)

    known = {"source": sources, "mask": mask}
    tape.record("generate", lambda: generate(150, s_churn=20.0))
    tape.record("impute", lambda: generate(256, s_churn=10.0, **known))
    tape.record(
        "impute, resamples 2", lambda: generate(100, s_churn=10.0, num_resamples=2, **known)
    )


def record_k_diffusion(tape: Tape, prior: dict[str, np.ndarray]) -> None:
    """Its samplers, on independent sources."""
    sampling = importlib.import_module("k_diffusion.sampling")
    denoise = independent(prior)
    sigmas = sampling.get_sigmas_karras(20, 1e-2, 10.0)
    tape.answers["grid of k-diffusion"] = sigmas.numpy()

    def run(sampler, **settings):
        x = sigmas[0] * torch.randn(*SHAPE)
        return sampler(denoise, x, sigmas, disable=True, **settings)

    churn = {"s_churn": 5.0, "s_tmin": 0.05, "s_tmax": 5.0, "s_noise": 1.003}
    for name, settings in [
        ("euler", churn),
        ("euler_ancestral", {}),
        ("heun", {}),
        ("heun", churn),
        ("dpm_2_ancestral", {}),
        ("dpmpp_2m", {}),
    ]:
        sampler = getattr(sampling, f"sample_{name}")
        churned = ", churn 5" if settings else ""
        tape.record(f"sample_{name}{churned}", functools.partial(run, sampler, **settings))


def record_adp(tape: Tape, prior: dict[str, np.ndarray]) -> None:
    """Its samplers, its preconditioning and its loss."""
    adp = importlib.import_module("audio_diffusion_pytorch")
    denoise = independent(prior)
    sources = torch.from_numpy(tape.answers["sources"])
    sigmas = adp.KarrasSchedule(1e-4, 3.0, 9.0)(50, "cpu")
    tape.answers["grid of ADP"] = sigmas.numpy()

    samplers = {"ADPM2": adp.ADPM2Sampler(rho=1.0), "AEuler": adp.AEulerSampler()}
    samplers["ADPM2 rho 7"] = adp.ADPM2Sampler(rho=7.0)
    for name, sampler in samplers.items():
        tape.record(name, lambda s=sampler: s(torch.randn(*SHAPE), denoise, sigmas, 50))
    mask = torch.zeros(SHAPE, dtype=torch.bool)
    mask[:, 1] = True
    inpaint = functools.partial(samplers["ADPM2"].inpaint, num_resamples=2)
    tape.record("ADPM2 inpaint", lambda: inpaint(sources, mask, dependent(prior), sigmas, 50))

    def network(x, c_noise):
        return torch.sin(2 * x) * (4 + c_noise[:, None, None])

    levels = torch.tensor([0.05, 0.7])
    diffusion = adp.Diffusion(
        network, sigma_distribution=lambda num_samples, device: levels, sigma_data=0.2
    )
    tape.answers["levels"] = levels.numpy()
    tape.record("denoise_fn", lambda: diffusion.denoise_fn(torch.randn(*SHAPE), sigmas=levels))
    tape.record("loss", lambda: diffusion(sources))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    for name in ("msdm", "k-diffusion", "adp"):
        parser.add_argument(f"--{name}", type=Path, required=True, help="folder of its checkout")
    parser.add_argument("--out", type=Path, default=HERE / "samplers.npz")
    arguments = parser.parse_args()

    sys.path[:0] = [str(arguments.msdm), str(arguments.adp)]
    # unsafe: main.data has an `assert_is_audio`, and mocks refuse what looks like an assertion.
    sys.modules.update({name: mock.MagicMock(unsafe=True) for name in UNUSED})
    # The package without its __init__, which imports models and data sets.
    k_diffusion = ModuleType("k_diffusion")
    k_diffusion.__path__ = [str(arguments.k_diffusion / "k_diffusion")]
    sys.modules["k_diffusion"] = k_diffusion

    rng = np.random.default_rng(0)
    prior, tape = priors(rng), Tape(rng)
    record_msdm(tape, prior, arguments.msdm)
    record_k_diffusion(tape, prior)
    record_adp(tape, prior)
    np.savez_compressed(arguments.out, draws=np.stack(tape.draws), **prior, **tape.answers)
    print(f"{arguments.out}: {len(tape.draws)} draws, {arguments.out.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
