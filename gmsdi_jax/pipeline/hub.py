"""Where a model is: a folder of this machine, or a repository of the Hugging Face hub.

What is on the hub is the same folder: ``config.json``, ``model.safetensors``, and for models that
read words ``prompts.safetensors`` and perhaps ``encoder/``. It is downloaded once.
"""

import re
from pathlib import Path
from typing import Any

from huggingface_hub import snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from gmsdi_jax.errors import UnavailableError

FILES = ["*.json", "*.safetensors", "encoder/*.json", "encoder/*.safetensors", "encoder/*.txt"]
_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def find_model(model: str | Path, **hub: Any) -> Path:
    """The local folder of a model.

    Args:
        model: a folder, or a repository's id ``owner/name``.
        hub: of `huggingface_hub.snapshot_download`: revision, token, cache_dir, force_download,
            local_files_only.

    Raises:
        UnavailableError: there is no such folder, and no such repository or no way to it.
    """
    if Path(model).is_dir():
        return Path(model)
    name = str(model)
    if not _ID.fullmatch(name):
        raise UnavailableError(f"{name}: no such folder; a model is a folder, or owner/name on the "
                               "Hugging Face hub")  # fmt: skip
    try:
        return Path(snapshot_download(name, allow_patterns=FILES, **hub))
    except (GatedRepoError, RepositoryNotFoundError):
        why = "the hub has no such model, or hides it from you (hf auth login)"
    except RevisionNotFoundError:
        why = f"the hub has no revision {hub.get('revision')!r} of it"
    except (LocalEntryNotFoundError, OfflineModeIsEnabled, HfHubHTTPError, OSError) as error:
        why = f"the hub cannot be reached ({type(error).__name__})"
    raise UnavailableError(f"{name}: no such folder, and {why}")
