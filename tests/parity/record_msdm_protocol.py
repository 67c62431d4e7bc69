"""Records what MSDM's evaluation makes of our folders, for `test_msdm_protocol.py`. Run by hand.

    git clone https://github.com/gladia-research-group/multi-source-diffusion-models msdm
    pip install -e ".[parity]"
    python tests/parity/record_msdm_protocol.py msdm

``evaluate_separations`` runs as it is on folders that are written for it: a data set of wav files
and chunks that were separated, with their ``chunk_data.json``. Reading and resampling by torchaudio
are replaced by soundfile at one rate, and the libraries of its training data by nothing.

SI-SDR of single signals is recorded of fast_bss_eval (its NumPy half; one signal at a time, for it
solves the permutation) and of torchmetrics without removal of the mean.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from types import ModuleType
from unittest import mock

import fast_bss_eval.numpy
import numpy as np
import pandas  # noqa: F401  # here, for what is first imported under a patched sys.modules is lost
import soundfile
import torch
from torchmetrics.functional.audio import scale_invariant_signal_distortion_ratio

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent))

from parity.msdm_case import CHUNK, RATE, STEMS, signals, tracks  # noqa: E402


def torchaudio() -> dict[str, ModuleType]:
    """As much of torchaudio as the evaluation asks for."""
    whole, functional = ModuleType("torchaudio"), ModuleType("torchaudio.functional")

    def load(path):
        audio, rate = soundfile.read(path, dtype="float32", always_2d=True)
        return torch.from_numpy(audio.T.copy()), rate

    def resample(audio, rate_in, rate_out):
        assert rate_in == rate_out
        return audio

    whole.load, functional.resample, whole.functional = load, resample, functional  # type: ignore[attr-defined]
    return {"torchaudio": whole, "torchaudio.functional": functional}


def write_folders(root: Path) -> None:
    """The references, and what was separated in chunks, as the published pipeline leaves them."""
    described = []
    for track, case in tracks().items():
        (root / "data" / track).mkdir(parents=True)
        for name, audio in case.references.items():
            if audio is not None:
                soundfile.write(root / "data" / track / f"{name}.wav", audio, RATE, "FLOAT")
        for start in range(0, case.estimates.shape[1], CHUNK):
            number = len(described)
            described.append({"track": track, "chunk_index": number, "start_chunk_sample": start})
            folder = root / "separated" / str(number)
            folder.mkdir(parents=True)
            for name, audio in zip(STEMS, case.estimates, strict=True):
                part = audio[start : start + CHUNK]
                soundfile.write(folder / f"{name}.wav", part, RATE, "FLOAT")
    (root / "separated" / "chunk_data.json").write_text(json.dumps(described))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("checkout", type=Path, help="of multi-source-diffusion-models")
    sys.path.insert(0, str(parser.parse_args().checkout))
    unused = {name: mock.MagicMock() for name in ("av", "librosa")}
    with mock.patch.dict(sys.modules, {**torchaudio(), **unused}):
        from evaluation.evaluate_separation import evaluate_separations  # type: ignore[import]

        with tempfile.TemporaryDirectory() as folder:
            write_folders(Path(folder))
            found = evaluate_separations(Path(folder, "separated"), Path(folder, "data"), RATE)
    estimates, references = signals()
    pairs = list(zip(references[:, None], estimates[:, None], strict=True))
    np.savez_compressed(
        HERE / "msdm_protocol.npz",
        scores=found[list(STEMS)].to_numpy(),
        start=found["start_sample"].to_numpy(),
        mean=found[list(STEMS)].mean().to_numpy(),
        fast_bss_eval=np.concatenate([fast_bss_eval.numpy.si_sdr(*pair) for pair in pairs]),
        torchmetrics=scale_invariant_signal_distortion_ratio(
            torch.from_numpy(estimates), torch.from_numpy(references), zero_mean=False
        ).numpy(),
    )
    print(found)


if __name__ == "__main__":
    main()
