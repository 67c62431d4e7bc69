"""The configurations that gather the parts: a model, and a training run.

Each part's own Config stands beside the part. A `ModelConfig` is saved as ``config.json`` beside
the weights and rebuilt from it.
"""

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from gmsdi_jax.data import WindowConfig
from gmsdi_jax.errors import ConfigError, UnavailableError
from gmsdi_jax.methods import SeparationConfig
from gmsdi_jax.models import (
    ClapTextConfig,
    SpectralConfig,
    T5TextConfig,
    TagsConfig,
    UNet1dConfig,
    WithoutTextConfig,
)

FORMAT = 2
"""Of ``config.json``; `migrate` reads the older ones."""
NetworkConfig = SpectralConfig | UNet1dConfig
ConditionerConfig = TagsConfig | T5TextConfig | ClapTextConfig | WithoutTextConfig
_KINDS = {
    "network": {"spectral": SpectralConfig, "unet1d": UNet1dConfig},
    "conditioner": {
        "tags": TagsConfig,
        "t5": T5TextConfig,
        "clap": ClapTextConfig,
        "none": WithoutTextConfig,
    },
}


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Everything that rebuilds a model around its weights."""

    network: NetworkConfig = field(default_factory=SpectralConfig)
    """The network and its sizes."""
    conditioner: ConditionerConfig = field(default_factory=TagsConfig)
    """What turns text into embeddings."""
    sigma_data: float = 0.1
    """Standard deviation of the training mixtures, full scale = 1."""
    limit: float | None = None
    """Absolute value at which the denoised audio is clamped, in training too; the networks of
    audio-diffusion-pytorch, MSDM's among them, were trained with 1."""
    sample_rate: int = 22050
    """Hz."""
    window: int = 2**17
    """Samples per window at inference."""
    separation: SeparationConfig = field(default_factory=SeparationConfig)
    """How this model separates unless told otherwise; chosen on validation songs."""
    constrained: str | None = None
    """The stem that ``dirac`` leaves to be the rest unless told otherwise; `gmsdi choose` finds the
    best one on validation songs."""
    negatives: dict[str, str] = field(default_factory=dict, hash=False)
    """Negative prompts of single stems, where guidance is on and nobody gives others; likewise."""

    def __post_init__(self):
        """Refuses contradictions between the parts."""
        if self.network.text_features != self.conditioner.features:
            raise ConfigError(
                f"network.text_features is {self.network.text_features} but conditioner.features "
                f"is {self.conditioner.features}: make them equal"
            )
        inner = getattr(self.network, "sigma_data", self.sigma_data)
        if inner != self.sigma_data:
            raise ConfigError(
                f"network.sigma_data is {inner} but sigma_data is {self.sigma_data}: make "
                "them equal"
            )
        multiple = getattr(self.network, "multiple", 1)
        if self.window % multiple:
            raise ConfigError(f"window is {self.window} samples: this network needs a multiple of "
                              f"{multiple}")  # fmt: skip

    @property
    def labels(self) -> tuple[str, ...]:
        """The stems that the model knows by name."""
        return self.conditioner.labels


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """Adam with a trapezoid: warm-up, plateau, linear decay; all counted in steps."""

    rate: float = 1e-4
    """Peak learning rate; MSDM's is 1e-4."""
    beta1: float = 0.9
    """Decay of the first moment."""
    beta2: float = 0.99
    """Decay of the second moment."""
    weight_decay: float = 0.0
    """Decoupled weight decay (AdamW); MSDM uses none."""
    clip: float = 1.0
    """Global norm above which gradients are scaled down."""
    warmup: int = 100
    """Steps from 0 to the peak rate."""
    decay: float = 0.4
    """Share of all steps, at the end, over which the rate falls to a thirtieth."""
    ema: float = 0.999
    """Decay of the averaged weights, reached gradually."""


@dataclass(frozen=True, kw_only=True)
class AveragesConfig:
    """Averages of the weights of which the best length is chosen after training (EDM2).

    Each is a third copy of the weights on the devices; `gmsdi average` makes any other length of
    the snapshots.

    Raises:
        ConfigError: a value is out of range.
    """

    widths: tuple[float, ...] = ()
    """Relative standard deviations of the profiles that are kept; EDM2 keeps 0.05 and 0.1."""
    every: int = 1000
    """Steps between snapshots on disk; a multiple of `log_every`."""

    def __post_init__(self):
        """Refuses what no power function has."""
        if any(not 0 < width < 0.28 for width in self.widths):
            raise ConfigError(
                f"averages.widths are {self.widths}: a relative width lies between 0 and 0.28"
            )
        if len({*self.widths}) < len(self.widths) or self.every < 1:
            raise ConfigError("averages.widths must differ, and averages.every be at least 1")


@dataclass(frozen=True, kw_only=True)
class GuardConfig:
    """What becomes of a step whose loss or gradient is not finite, or far out of the ordinary.

    Such a step never moves the weights, whatever follows.

    Raises:
        ConfigError: a value is out of range.
    """

    policy: Literal["abort", "skip", "rollback"] = "abort"
    """After a step that is not finite: abort ends the run (exit code 70), skip goes on with the
    next batch, rollback goes back to the last checkpoint and on with the data that comes next."""
    most: int = 8
    """Steps left out in a row, or times gone back, after which the run ends in any case."""
    spikes: float | None = None
    """Leaves out steps whose loss or gradient norm is so many standard deviations above the mean of
    the last ones; 6 is usual."""
    recent: int = 128
    """Steps that such a mean is taken over; it takes half as many before any step is left out."""

    def __post_init__(self):
        """Refuses numbers that make no sense."""
        if self.most < 1 or self.recent < 2 or (self.spikes is not None and self.spikes <= 0):
            raise ConfigError("guard: make most at least 1, recent at least 2, spikes positive")


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """A training run; an experiment file has one function ``config() -> TrainConfig``."""

    data: Path
    """Folder of shards made by ``gmsdi data slakh``, with train/ and validation/."""
    out: Path
    """Folder of the run: checkpoints, metrics.jsonl, config.json, best/."""
    model: ModelConfig = field(default_factory=ModelConfig)
    """The model."""
    encoder: Path | None = None
    """Folder of the frozen text or audio encoder, for a model that is conditioned on one."""
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    """The optimizer."""
    averages: AveragesConfig = field(default_factory=AveragesConfig)
    """Averages of the weights beside the usual one."""
    guard: GuardConfig = field(default_factory=GuardConfig)
    """What becomes of a step that is not finite."""
    windows: WindowConfig = field(default_factory=WindowConfig)
    """How examples are cut, labelled and mixed."""
    window: int = 2**15
    """Samples per training window."""
    batch: int = 8
    """Windows per step."""
    accumulate: int = 1
    """Parts of a device's rows that are computed one after another: the same step, less memory."""
    fsdp: int = 1
    """Devices that share one copy of weights, optimizer and average; it must divide them all."""
    steps: int = 10_000
    """Steps in all."""
    seed: int = 0
    """Decides weights, data order, noise."""
    null: float = 0.1
    """Probability that an unmixed window loses its text, so that the null embedding is learned."""
    sigma_mean: float = -3.0
    """Mean of ln sigma in training."""
    sigma_std: float = 1.0
    """Standard deviation of ln sigma in training."""
    mixed_cap: float = 4.0
    """Cap of the loss weight on windows with interference, in units of 1 / sigma_data^2."""
    plain_cap: float | None = None
    """Cap of the loss weight on the other windows, in the same units; EDM has none."""
    log_every: int = 50
    """Steps per line of metrics.jsonl."""
    save_every: int = 1000
    """Steps between checkpoints; a multiple of `log_every`."""
    save_minutes: float = 30.0
    """Minutes after which a checkpoint is due all the same; 0 counts steps only."""
    eval_every: int = 1000
    """Steps between validations; a multiple of `log_every`; 0 for none."""
    eval_windows: int = 32
    """Validation windows with at least two active stems."""
    keep: int = 3
    """Newest checkpoints that are kept."""
    keep_every: int | None = None
    """Checkpoints of multiples of so many steps are kept for ever."""
    keep_best: int = 0
    """Checkpoints with the highest validation scores that are kept as well."""
    hang_minutes: float = 30.0
    """Minutes without a finished step after which the run tells where it hangs, and ends; or 0."""
    wandb: str | None = None
    """Project on Weights & Biases to log to, beside metrics.jsonl."""
    tensorboard: bool = False
    """Write event files for TensorBoard as well, to tensorboard/ in the run's folder."""
    samples: int = 3
    """Validation windows whose stems are kept as sound, in samples/ and where else metrics go."""

    def __post_init__(self):
        """Refuses contradictions."""
        multiples = {"save_every": self.save_every, "eval_every": self.eval_every}
        if self.averages.widths:
            multiples["averages.every"] = self.averages.every
        for name, steps in multiples.items():
            if steps % self.log_every:
                raise ConfigError(
                    f"{name} is {steps}: make it a multiple of log_every ({self.log_every}), so "
                    "that a resumed run logs the same lines"
                )
        if min(self.save_minutes, self.hang_minutes) < 0:
            raise ConfigError("save_minutes and hang_minutes must not be negative")
        if self.samples < 0:
            raise ConfigError("samples must not be negative; 0 keeps none")
        if min(self.accumulate, self.fsdp, self.batch) < 1:
            raise ConfigError("accumulate, fsdp and batch must be at least 1")
        multiple = getattr(self.model.network, "multiple", 1)
        if self.window % multiple:
            raise ConfigError(
                f"window is {self.window}: this network needs a multiple of {multiple}"
            )


def to_json(config: Any) -> Any:
    """A configuration as plain JSON values; networks carry their kind."""
    if dataclasses.is_dataclass(config):
        fields = {f.name: to_json(getattr(config, f.name)) for f in dataclasses.fields(config)}
        kind = _kind(config)
        return {"kind": kind, **fields} if kind else fields
    if isinstance(config, tuple | list):
        return [to_json(value) for value in config]
    return str(config) if isinstance(config, Path) else config


def model_from_json(values: dict[str, Any]) -> ModelConfig:
    """The inverse of `to_json` for a model, of this format or an older one.

    Raises:
        ConfigError: a key is unknown or missing, or the format is newer than this library.
    """
    values = migrate(values)
    try:
        made = {part: _part(part, values.pop(part)) for part in _KINDS}
        separation = SeparationConfig(**_tuples(values.pop("separation")))
        return ModelConfig(**made, separation=separation, **values)
    except (KeyError, TypeError) as error:
        raise ConfigError(f"the model's config.json does not fit this library: {error}") from error


def migrate(values: dict[str, Any]) -> dict[str, Any]:
    """The values of a model's ``config.json`` as this format has them, without ``format``.

    Format 1 knew one kind of conditioner, the labels', and did not name it.

    Raises:
        ConfigError: the format is newer than this library, or no number.
    """
    values = dict(values)
    version = values.pop("format", FORMAT)
    if version not in range(1, FORMAT + 1):
        raise ConfigError(f"model format {version!r} is unknown: this library reads 1 to {FORMAT}; "
                          "a newer gmsdi-jax may read it")  # fmt: skip
    if version == 1 and isinstance(values.get("conditioner"), dict):
        values["conditioner"] = {"kind": "tags", **values["conditioner"]}
    return values


def _part(name: str, values: dict[str, Any]) -> Any:
    """The network or the conditioner, of the kind that it names."""
    values, kinds = dict(values), _KINDS[name]
    kind = values.pop("kind")
    if kind not in kinds:
        raise ConfigError(f"{name}.kind is {kind!r}: this library knows {', '.join(kinds)}")
    return kinds[kind](**_tuples(values))


def _kind(config: Any) -> str | None:
    """What a network or conditioner is called in JSON; None for any other configuration."""
    kinds = (pair for part in _KINDS.values() for pair in part.items())
    return next((kind for kind, made in kinds if type(config) is made), None)


def read_model_config(folder: Path) -> ModelConfig:
    """The configuration in ``folder/config.json``.

    Raises:
        UnavailableError: there is none.
        ConfigError: it is not valid.
    """
    path = Path(folder) / "config.json"
    try:
        return model_from_json(json.loads(path.read_text()))
    except FileNotFoundError:
        raise UnavailableError(
            f"{folder}: no config.json here; give a folder with config.json and model.safetensors"
        ) from None
    except json.JSONDecodeError as error:
        raise ConfigError(f"{path}: not valid JSON ({error})") from error


def _tuples(values: dict[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
