"""Records what published toolkits make of given embeddings, for `test_fad.py`. Run by hand.

    pip install -e . scipy==1.17.1 torch==2.13.0
    pip install --no-deps frechet-audio-distance==0.3.4 kadtk==1.1.0
    python tests/parity/record_fad.py [FOLDER]

FOLDER is where the two packages are, if not installed. frechet-audio-distance is run through its
own ``score``, which takes files of embeddings; its encoders, which it would fetch, are not loaded.
scipy 1.18 has no ``sqrtm(disp=...)`` any more, and the package fails with it.
"""

import argparse
import importlib.util
import sys
import tempfile
from pathlib import Path
from unittest import mock

import numpy as np

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent))

from parity.fad_case import CASES, embeddings  # noqa: E402

ENCODERS = (
    *("resampy", "soundfile", "tqdm", "transformers", "laion_clap", "encodec", "torchlibrosa"),
    *("torchlibrosa.stft", "torchlibrosa.augmentation", "hypy_utils", "hypy_utils.tqdm_utils"),
    *("hypy_utils.nlp_utils", "hypy_utils.logging_utils", "kadtk.emb_loader", "kadtk.model_loader"),
)
"""What the packages import and their distances do not use."""


def distance(x: np.ndarray, y: np.ndarray) -> float:
    """The FAD by the published command's own method."""
    from frechet_audio_distance import FrechetAudioDistance

    published = object.__new__(FrechetAudioDistance)  # its __init__ fetches weights
    published.verbose = False
    with tempfile.TemporaryDirectory() as folder:
        for name, array in (("background", y), ("eval", x)):
            np.save(f"{folder}/{name}.npy", array)
        places = (f"{folder}/background.npy", f"{folder}/eval.npy")
        return float(published.score(None, None, *places))


def kernel(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """The KAD of the toolkit, whose second set gives the bandwidth, and that bandwidth."""
    import torch
    from kadtk.kad import calc_kernel_audio_distance, median_pairwise_distance

    sets = (torch.from_numpy(x.astype(np.float64)), torch.from_numpy(y.astype(np.float64)))
    found = calc_kernel_audio_distance(*sets, (None, None), "cpu", precision=torch.float64)
    return float(found), float(median_pairwise_distance(sets[1]))


def _is_installed(name: str) -> bool:
    package = name.partition(".")[0]
    return package != "kadtk" and importlib.util.find_spec(package) is not None


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", nargs="?", help="where the packages are, if not installed")
    if folder := parser.parse_args().folder:
        sys.path.insert(0, folder)
    absent = [name for name in ENCODERS if not _is_installed(name)]
    sys.modules |= {name: mock.MagicMock() for name in absent}
    recorded = {}
    for case in CASES:
        x, y = embeddings(case)
        recorded[case] = np.array([distance(x, y), *kernel(x, y), x[0, 0], y[-1, -1]])
        print(case, *recorded[case])
    np.savez_compressed(HERE / "fad.npz", **recorded)


if __name__ == "__main__":
    main()
