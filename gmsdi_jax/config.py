"""The configurations that gather the parts: a model, and a training run.

Each part's own Config stands beside the part. A `ModelConfig` is saved as ``config.json`` beside
the weights and rebuilt from it.
"""

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gmsdi_jax.data import WindowConfig
from gmsdi_jax.errors import ConfigError, UnavailableError
from gmsdi_jax.methods import SeparationConfig
from gmsdi_jax.models import SpectralConfig, TagsConfig, UNet1dConfig

FORMAT = 1
_NETWORKS = {"spectral": SpectralConfig, "unet1d": UNet1dConfig}


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Everything that rebuilds a model around its weights."""

    network: SpectralConfig | UNet1dConfig = field(default_factory=SpectralConfig)
    """The network and its sizes."""
    conditioner: TagsConfig = field(default_factory=TagsConfig)
    """What turns text into embeddings."""
    sigma_data: float = 0.1
    """Standard deviation of the training mixtures, full scale = 1."""
    sample_rate: int = 22050
    """Hz."""
    window: int = 2**17
    """Samples per window at inference."""
    separation: SeparationConfig = field(default_factory=SeparationConfig)
    """How this model separates unless told otherwise; chosen on validation songs."""

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
class TrainConfig:
    """A training run; an experiment file has one function ``config() -> TrainConfig``."""

    data: Path
    """Folder of shards made by ``gmsdi data slakh``, with train/ and validation/."""
    out: Path
    """Folder of the run: checkpoints, metrics.jsonl, config.json, best/."""
    model: ModelConfig = field(default_factory=ModelConfig)
    """The model."""
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    """The optimizer."""
    windows: WindowConfig = field(default_factory=WindowConfig)
    """How examples are cut, labelled and mixed."""
    window: int = 2**15
    """Samples per training window."""
    batch: int = 8
    """Windows per step."""
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
    eval_every: int = 1000
    """Steps between validations; a multiple of `log_every`; 0 for none."""
    eval_windows: int = 32
    """Validation windows with at least two active stems."""
    keep: int = 3
    """Checkpoints kept."""
    wandb: str | None = None
    """Project on Weights & Biases to log to, beside metrics.jsonl."""

    def __post_init__(self):
        """Refuses contradictions."""
        for name in ("save_every", "eval_every"):
            if getattr(self, name) % self.log_every:
                raise ConfigError(
                    f"{name} is {getattr(self, name)}: make it a multiple of log_every "
                    f"({self.log_every}), so that a resumed run logs the same lines"
                )
        multiple = getattr(self.model.network, "multiple", 1)
        if self.window % multiple:
            raise ConfigError(
                f"window is {self.window}: this network needs a multiple of {multiple}"
            )


def to_json(config: Any) -> Any:
    """A configuration as plain JSON values; networks carry their kind."""
    if dataclasses.is_dataclass(config):
        fields = {f.name: to_json(getattr(config, f.name)) for f in dataclasses.fields(config)}
        kinds = [kind for kind, made in _NETWORKS.items() if isinstance(config, made)]
        return {"kind": kinds[0], **fields} if kinds else fields
    if isinstance(config, tuple | list):
        return [to_json(value) for value in config]
    return str(config) if isinstance(config, Path) else config


def model_from_json(values: dict[str, Any]) -> ModelConfig:
    """The inverse of `to_json` for a model.

    Raises:
        ConfigError: a key is unknown or missing, or the format is newer than this library.
    """
    values = dict(values)
    version = values.pop("format", FORMAT)
    if version != FORMAT:
        raise ConfigError(f"model format {version} is not {FORMAT}: update gmsdi-jax")
    try:
        network = dict(values.pop("network"))
        made = _NETWORKS[network.pop("kind")]
        return ModelConfig(
            network=made(**_tuples(network)),
            conditioner=TagsConfig(**_tuples(values.pop("conditioner"))),
            separation=SeparationConfig(**_tuples(values.pop("separation"))),
            **values,
        )
    except (KeyError, TypeError) as error:
        raise ConfigError(f"the model's config.json does not fit this library: {error}") from error


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
