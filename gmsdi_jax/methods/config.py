"""The settings of a separation, and what they cost."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

from gmsdi_jax.diffusion import karras
from gmsdi_jax.errors import ConfigError

Method = Literal["direct", "project", "dirac", "extract", "gaussian"]
METHODS: tuple[Method, ...] = get_args(Method)
Weights = Literal["shares", "floored", "local_power", "corrected", "uniform", "covariance"]
WEIGHTS: tuple[Weights, ...] = get_args(Weights)
Solver = Literal["own", "churn", "ancestral", "heun", "adpm2", "dpmpp_2m", "daps"]
SOLVERS: tuple[Solver, ...] = get_args(Solver)


@dataclass(frozen=True, kw_only=True)
class SeparationConfig:
    """A method and its settings; settings that a method does not use are ignored by it."""

    method: Method = "direct"
    """direct, project, dirac, extract or gaussian."""
    solver: Solver = "own"
    """Solver of all methods but direct; their own are ancestral (project) and churn (the others).
    daps needs project with weights by power."""
    steps: int | None = None
    """Solver steps; by default 25 (project), or the 150 of the paper's lineage (the others)."""
    sigma_min: float = 1e-3
    """Lowest noise level above 0, full scale = 1; the paper's lineage uses 1e-4."""
    sigma_max: float = 1.0
    """Noise level at which sampling starts."""
    rho: float = 7.0
    """Curvature of the Karras grid."""
    s_churn: float = 20.0
    """Churn of solver churn; the paper's lineage uses 20 or 40."""
    resamples: int = 1
    """Times each step is taken, but for dpmpp_2m; the paper's lineage uses 2."""
    guidance: float = 1.0
    """Guidance scale; 1 is off."""
    guidance_interval: tuple[float, float] | None = None
    """Lowest and highest noise level at which to guide; all by default."""
    gamma: float = 0.75
    """Of gaussian: its standard deviation is gamma sigma, with MSDM's factor 1/2."""
    constrain: Literal["one", "each"] = "one"
    """Whether dirac constrains one stem, or each in a run of its own and averages the runs."""
    sigmas: tuple[float, ...] = (0.02, 0.05, 0.1)
    """Noise levels of the read-out (direct, project's shares, warm starts)."""
    weights: Weights = "shares"
    """How project splits what is unexplained: by the read-out's fixed shares, by the local power of
    the current estimate (floored by the read-out's, plain, or corrected for its shrinkage), evenly,
    or by the posterior covariance, from Jacobian products."""
    floor: float = 0.1
    """Of weights floored: the least power of a stem, as a share of its read-out's."""
    iterations: int = 4
    """Conjugate gradient steps of weights covariance, each about one evaluation."""
    exponent: float = 2.0
    """Of the amplitudes whose shares split the mixture: 2 is Wiener's filter, 1 a ratio mask."""
    fft: int = 1024
    """STFT size of shares and filters, samples."""
    smoothing: tuple[int, int] = (3, 3)
    """STFT frames and bins over which their power is averaged, odd numbers."""
    warm: bool = False
    """Whether sampling starts at the read-out plus noise of sigma_max, instead of at noise."""
    other: float = 0.0
    """Of project: the local power, as a share of the mixture's, of one more source that nobody
    named; it ends up in the residual. 0 is off."""
    draws: int = 1
    """Posterior draws per window; their mean is returned, or the filter built from all of them."""
    filter: bool = False
    """Whether a Wiener filter built from the stems replaces them (all but direct)."""
    filter_iterations: int = 1
    """Times the filter is rebuilt from its own result."""

    def __post_init__(self):
        """Refuses what no method can run."""
        for name, known in (("method", METHODS), ("weights", WEIGHTS), ("solver", SOLVERS)):
            value = getattr(self, name)
            if value not in known:
                raise ConfigError(f"{name} {value!r} is unknown: use {', '.join(known)}")
        if self.own_steps < 2 or not 0 < self.sigma_min < self.sigma_max:
            raise ConfigError(
                f"steps is {self.own_steps}, sigma_min {self.sigma_min}, sigma_max "
                f"{self.sigma_max}: take at least 2 steps, and 0 < sigma_min < sigma_max"
            )
        if self.resamples < 1 or self.s_churn < 0 or not self.sigmas or min(self.sigmas) <= 0:
            raise ConfigError(
                f"resamples is {self.resamples}, s_churn {self.s_churn}, sigmas {self.sigmas}: "
                "take resamples >= 1, s_churn >= 0 and positive sigmas"
            )
        counts = ("draws", "iterations", "filter_iterations")
        for name in (*counts, "exponent", "gamma", "floor"):
            if getattr(self, name) <= 0:
                least = 1 if name in counts else "more than 0, such as 2 or 1"
                raise ConfigError(f"{name} is {getattr(self, name)}: take {least}")
        if self.fft < 16 or self.fft % 4 or any(n < 1 or n % 2 == 0 for n in self.smoothing):
            raise ConfigError(
                f"fft is {self.fft}, smoothing {self.smoothing}: take an fft of at least 16 that "
                "4 divides, and odd numbers of frames and bins"
            )
        if not 0 <= self.other < 1:
            raise ConfigError(f"other is {self.other}: take a share of at least 0 and less than 1")
        if self.solver == "daps" and (
            self.method != "project" or self.weights in ("uniform", "covariance")
        ):
            raise ConfigError(
                "solver 'daps' needs to know each stem's variance: use method project with "
                "weights shares, floored, local_power or corrected"
            )

    @property
    def own_solver(self) -> Solver:
        """`solver`, with the method's own in the place of ``own``."""
        if self.solver != "own":
            return self.solver
        return "ancestral" if self.method == "project" else "churn"

    @property
    def own_steps(self) -> int:
        """`steps`, with the method's own where it is left open."""
        if self.steps is not None:
            return self.steps
        return 25 if self.method == "project" else 150

    @property
    def reads_out(self) -> bool:
        """Whether the method needs the read-out of the mixture."""
        by_shares = self.method == "project" and self.weights in ("shares", "floored")
        return self.method == "direct" or self.warm or by_shares

    def rows(self, stems: int) -> int:
        """Rows per window in one network call, for `stems` texts."""
        branches = 1 if self.guidance == 1 else 2
        runs = {"extract": 2, "dirac": stems if self.constrain == "each" else 1}
        draws = 1 if self.method == "direct" else self.draws
        return draws * stems * runs.get(self.method, 1) * branches

    def evaluations(self, stems: int) -> int:
        """Network evaluations (rows) per window for `stems` texts, guidance branches counted.

        A Jacobian product of weights ``covariance`` counts as one evaluation.
        """
        total = stems * self._calls(self.sigmas) if self.reads_out else 0
        if self.method == "direct":
            return total
        branches = 1 if self.guidance == 1 else 2
        products = self.iterations + 1 if self._by_covariance else 0
        times = 1 if self.own_solver == "dpmpp_2m" else self.resamples
        calls = self._calls(self.levels()) * (1 + products)
        return total + self.rows(stems) // branches * times * calls

    @property
    def _by_covariance(self) -> bool:
        return self.method == "project" and self.weights == "covariance"

    def _calls(self, levels: tuple[float, ...]) -> int:
        """Evaluations of one row at these noise levels: two where guidance is on."""
        low, high = self.guidance_interval or (0, math.inf)
        guided = 0 if self.guidance == 1 else sum(low <= sigma <= high for sigma in levels)
        return len(levels) + guided

    def warning(self, stems: int) -> str | None:
        """What is wrong with few steps of ``dirac`` and ``extract``, if they are too few.

        The constrained source ties the k stems together: explicit steps multiply their common error
        by ``1 - k h``, where h is the share by which a step lowers the noise. Above 1.7 of ``k h``
        the error hardly decays, from 2 on it grows.
        """
        ties = {"dirac": stems, "extract": 2}.get(self.method)
        if ties is None or self.own_solver not in ("churn", "ancestral"):
            return None
        grid = self._grid()
        pairs = zip(self.levels(), grid[1:], strict=False)
        drops = [
            1 - (n / s) ** (2 if self.own_solver == "ancestral" else 1)
            for s, n in pairs
            if s > 0.02 * self.sigma_max
        ]
        if ties * max(drops) < 1.7:
            return None
        return (
            f"{self.method} with {ties} stems is likely to diverge in {self.own_steps} steps: "
            "take more --steps, such as 150, or less --s-churn"
        )

    def _grid(self) -> list[float]:
        """The levels of the Karras grid above 0."""
        return karras(self.own_steps, self.sigma_min, self.sigma_max, self.rho).tolist()[:-1]

    def levels(self) -> tuple[float, ...]:
        """The noise levels at which the solver asks the network, in one pass of the grid."""
        grid = self._grid()
        after = [*grid[1:], 0.0]
        match self.own_solver:
            case "churn":
                rise = 1 + min(self.s_churn / self.own_steps, math.sqrt(2) - 1)
                return tuple(sigma * rise for sigma in grid)
            case "heun":
                return tuple(
                    level for s, n in zip(grid, after, strict=True) for level in (s, n or s)
                )
            case "adpm2":
                pairs = zip(grid, after, strict=True)
                return tuple(level for s, n in pairs for level in (s, (s + n**2 / s) / 2))
            case _:
                return tuple(grid)
