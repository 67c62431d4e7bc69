"""Records what the published CLAPs answer, for `test_clap.py`. Run by hand; needs torch.

    pip install -e ".[parity]" transformers==5.23.0 torchlibrosa==0.1.0
    pip install --no-deps --target DIR laion-clap==1.1.7
    python tests/parity/record_clap.py --laion DIR [--full]

laion-clap pins NumPy 1, so only its modules are used, with empty modules in the place of what they
import and do not need here. Weights are drawn, ours, and handed to LAION's `CLAP` and to
transformers' `ClapModel` through `gmsdi_jax.convert.clap`; what is recorded is LAION's answer layer
by layer, from the waveform on, and transformers' at the end. ``--full`` compares networks of the
published size, prints the errors and records nothing.
"""

import argparse
import importlib
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from unittest import mock

import jax
import numpy as np
import torch
import transformers

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent))

from parity.clap_case import (  # noqa: E402
    LENGTHS,
    SECOND,
    SMALL,
    answers,
    module,
    texts,
    waveforms,
)
from parity.weights import draw  # noqa: E402

from gmsdi_jax.arrays import flatten  # noqa: E402
from gmsdi_jax.convert.clap import CLAP_HF, CLAP_LAION  # noqa: E402
from gmsdi_jax.convert.names import to_theirs  # noqa: E402
from gmsdi_jax.models.clap import ClapConfig, MelConfig  # noqa: E402

UNUSED = ("PIL", "braceexpand", "clap_module.timm_model", "h5py", "pandas", "soundfile", "timm",
          "torchaudio", "torchvision", "torchvision.datasets", "torchvision.ops", "wandb", "wget",
          "torchvision.ops.misc", "torchvision.transforms", "webdataset")  # fmt: skip


def laion_modules(folder: Path) -> None:
    """Makes LAION's modules importable without the package's own `__init__`, which needs more."""
    for name in UNUSED:
        sys.modules[name] = mock.MagicMock()
    for name, below in (("clap_module", "clap_module"), ("laion_clap", "")):
        package = ModuleType(name)
        package.__path__ = [str(folder / "laion_clap" / below)]
        sys.modules[name] = package
    sys.modules["clap_module"].tokenize = None


def laion_model(config: ClapConfig) -> torch.nn.Module:
    """LAION's `CLAP` of our sizes; it builds only its own, so parts of it are replaced."""
    model = importlib.import_module("clap_module.model")
    htsat = importlib.import_module("clap_module.htsat")
    mel, audio, text = config.mel, config.audio, config.text
    sounds = SimpleNamespace(
        model_type="HTSAT", mel_bins=mel.bands, window_size=mel.fft, hop_size=mel.hop,
        sample_rate=mel.sample_rate, fmin=mel.low, fmax=mel.high, class_num=3,
    )  # fmt: skip
    branch = htsat.HTSAT_Swin_Transformer(
        spec_size=audio.side, patch_size=audio.patch, patch_stride=(audio.patch, audio.patch),
        num_classes=3, embed_dim=audio.features, depths=list(audio.depths),
        num_heads=list(audio.heads), window_size=audio.window, config=sounds,
    )  # fmt: skip
    words = transformers.RobertaModel(
        transformers.RobertaConfig(
            vocab_size=text.vocabulary, hidden_size=text.features, num_hidden_layers=text.layers,
            num_attention_heads=text.heads, intermediate_size=text.mlp, type_vocab_size=text.types,
            max_position_embeddings=text.positions, layer_norm_eps=text.epsilon,
        )
    )  # fmt: skip
    with (
        mock.patch.object(model, "create_htsat_model", return_value=branch),
        mock.patch.object(model.RobertaModel, "from_pretrained", return_value=words),
    ):
        spoken = SimpleNamespace(model_type="roberta", context_length=77)
        clap = model.CLAP(audio.final, sounds, spoken, joint_embed_shape=config.joint)
    clap.text_projection[0] = torch.nn.Linear(text.features, config.joint)  # else 768 to joint
    return clap.eval()


def hf_model(config: ClapConfig) -> transformers.ClapModel:
    """transformers' `ClapModel` of our sizes."""
    audio, text = config.audio, config.text
    sizes = transformers.ClapConfig(
        audio_config={
            "window_size": audio.window, "num_mel_bins": config.mel.bands, "spec_size": audio.side,
            "patch_size": audio.patch, "patch_stride": [audio.patch, audio.patch],
            "hidden_size": audio.final, "depths": list(audio.depths),
            "num_attention_heads": list(audio.heads), "patch_embeds_hidden_size": audio.features,
        },
        text_config={
            "vocab_size": text.vocabulary, "hidden_size": text.features,
            "num_hidden_layers": text.layers, "num_attention_heads": text.heads,
            "intermediate_size": text.mlp, "max_position_embeddings": text.positions,
            "type_vocab_size": text.types, "layer_norm_eps": text.epsilon,
        },
        projection_dim=config.joint,
    )  # fmt: skip
    return transformers.ClapModel(sizes).eval()


def load(model: torch.nn.Module, flat: dict[str, np.ndarray], form, config: ClapConfig) -> None:
    """Our weights under their names; only what `form` calls ignored may be missing."""
    theirs = to_theirs(flat, form.rules(config))
    state = {name: torch.from_numpy(value) for name, value in theirs.items()}
    missing, unexpected = model.load_state_dict(state, strict=False)
    unknown = [name for name in missing if not ignored(name, form)]
    assert not unknown, unknown
    assert not unexpected, unexpected


def ignored(name: str, form) -> bool:
    return any(importlib.import_module("re").fullmatch(p, name) for p in form.ignored)


def laion_layers(clap: torch.nn.Module) -> dict[str, torch.nn.Module]:
    """The modules whose outputs are recorded, by our names for them."""
    audio, text = clap.audio_branch, clap.text_branch
    layers = {"log mel": audio.logmel_extractor, "tokens": audio.patch_embed}
    for number, stage in enumerate(audio.layers):
        layers |= {f"stage {number} block {i}": block for i, block in enumerate(stage.blocks)}
        if stage.downsample is not None:
            layers[f"stage {number} merged"] = stage.downsample
    layers |= {"audio branch": audio, "text tokens": text.embeddings, "text branch": text.pooler}
    return layers | {f"text layer {i}": layer for i, layer in enumerate(text.encoder.layer)}


def laion_answers(clap: torch.nn.Module, config: ClapConfig) -> dict[str, np.ndarray]:
    """LAION's outputs, layer by layer."""
    heard = {}

    def hook(name):
        def keep(module, args, output):
            del module, args
            match output:
                case dict():
                    output = output["embedding"]
                case tuple():
                    output = output[0]
            heard[name] = output.numpy()

        return keep

    for name, layer in laion_layers(clap).items():
        layer.register_forward_hook(hook(name))
    ids, mask = map(torch.from_numpy, texts(config))
    with torch.no_grad():
        wave = [{"waveform": torch.from_numpy(row)} for row in waveforms(config)]
        heard["audio"] = clap.get_audio_embedding(wave).numpy()
        heard["text"] = clap.get_text_embedding(
            {"input_ids": ids.long(), "attention_mask": mask.long()}
        ).numpy()
    heard["log mel"] = heard["log mel"][:, 0]
    return heard


def hf_answers(clap: transformers.ClapModel, config: ClapConfig) -> dict[str, np.ndarray]:
    """transformers' embeddings, with its own feature extractor."""
    features = hf_mel(waveforms(config), config.mel, "rand_trunc")
    ids, mask = map(torch.from_numpy, texts(config))
    with torch.no_grad():
        audio = clap.get_audio_features(torch.from_numpy(features)[:, None])
        text = clap.get_text_features(ids.long(), mask.long())
    return {"audio, transformers": audio.pooler_output.numpy(),
            "text, transformers": text.pooler_output.numpy()}  # fmt: skip


def hf_mel(rows: np.ndarray, mel: MelConfig, truncation: str) -> np.ndarray:
    """`ClapFeatureExtractor` on audio that is no longer than a clip."""
    extract = transformers.ClapFeatureExtractor(
        feature_size=mel.bands, sampling_rate=mel.sample_rate, hop_length=mel.hop,
        fft_window_size=mel.fft, frequency_min=mel.low, frequency_max=mel.high,
        truncation=truncation,
    )  # fmt: skip
    out = extract(list(rows), sampling_rate=mel.sample_rate, max_length=mel.clip)
    return np.stack([row[0] for row in out["input_features"]]).astype(np.float32)


def front_ends() -> dict[str, np.ndarray]:
    """A second of audio as 48 kHz front ends see it, shorter audio, quantised audio, bicubic."""
    from torchlibrosa.stft import LogmelFilterBank, Spectrogram

    tokenizers = ("BertTokenizer", "RobertaTokenizer", "BartTokenizer")  # fetched when imported
    with mock.patch.multiple(transformers, **dict.fromkeys(tokenizers, mock.MagicMock())):
        data = importlib.import_module("laion_clap.training.data")
    mel = SECOND
    wave = waveforms(ClapConfig(mel=mel))[:1]
    spectrum = Spectrogram(n_fft=mel.fft, hop_length=mel.hop)(torch.from_numpy(wave))
    bank = LogmelFilterBank(
        sr=mel.sample_rate,
        n_fft=mel.fft,
        n_mels=mel.bands,
        fmin=mel.low,
        fmax=mel.high,
        top_db=None,
    )
    short = waveforms(SMALL)[0]
    grid = torch.from_numpy(np.random.default_rng(2).standard_normal((1, 1, 1001, 2), np.float32))
    filled = {}
    for name, length in LENGTHS.items():
        sample = data.get_audio_features(
            {}, torch.from_numpy(short[:length]), SMALL.mel.clip, "rand_trunc", "repeatpad", {}
        )
        filled[f"filled, {name}"] = sample["waveform"].numpy()[::7]
    return filled | {
        "mel, torchlibrosa": bank(spectrum)[0, 0].detach().numpy(),
        "mel, transformers slaney": hf_mel(wave, mel, "rand_trunc")[0],
        "mel, transformers htk": hf_mel(wave, mel, "fusion")[0],
        "quantised": data.int16_to_float32(data.float32_to_int16(3 * short[::50])),
        "bicubic": torch.nn.functional.interpolate(
            grid, (1024, 2), mode="bicubic", align_corners=True
        ).numpy()[0, 0],
    }  # fmt: skip


def names(model: torch.nn.Module) -> np.ndarray:
    """The published names and shapes, one a line."""
    shapes = {name: list(value.shape) for name, value in model.state_dict().items()}
    return np.array("\n".join(f"{name} {shape}" for name, shape in shapes.items()))


def ends(model: torch.nn.Module) -> np.ndarray:
    """The last number of each array: under which name each weight went when the answers agreed."""
    return np.array([float(value.flatten()[-1]) for value in model.state_dict().values()], "f4")


def compare(config: ClapConfig, theirs: dict[str, np.ndarray], params) -> None:
    """Prints the largest error of each layer, relative to the layer's largest number."""
    ours = answers(config, params)
    for name, expected in theirs.items():
        answer = np.asarray(ours[name.removesuffix(", transformers")])
        print(f"{name:28} {np.abs(answer - expected).max() / np.abs(expected).max():.1e}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--laion", type=Path, required=True)
    parser.add_argument("--full", action="store_true")
    args = parser.parse_args()
    laion_modules(args.laion)
    config = ClapConfig() if args.full else SMALL
    params = draw(module(config).shapes)
    flat = {name: np.asarray(leaf) for name, leaf in flatten(params).items()}
    laion, hf = laion_model(config), hf_model(config)
    load(laion, flat, CLAP_LAION, config)
    load(hf, flat, CLAP_HF, config)
    theirs = laion_answers(laion, config) | hf_answers(hf, config)
    compare(config, theirs, params)
    if args.full:
        print(f"transformers has {sum(p.numel() for p in hf.parameters()):,} parameters")
        return
    published = ClapConfig()
    theirs |= front_ends() | {"names laion, small": names(laion), "names hf, small": names(hf)}
    theirs |= {"ends laion": ends(laion), "ends hf": ends(hf)}
    theirs |= {"names laion": names(laion_model(published)), "names hf": names(hf_model(published))}
    np.savez_compressed(HERE / "clap.npz", **theirs)


if __name__ == "__main__":
    with jax.default_matmul_precision("highest"):
        main()
