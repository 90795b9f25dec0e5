"""Published weights by name: download with a checksum."""

import re
from pathlib import Path
from urllib.request import urlopen

import torch

from pcseg.errors import UserError, reason

HOST = "https://huggingface.co"
HUB = {"sonata": ("facebook/sonata", "sonata.pth"), "utonia": ("Pointcept/Utonia", "utonia.pth")}
"""Repository and file of the weights that can be named."""

TIMEOUT = 30
"""Seconds to wait for the first answer."""


def published_file(weights: Path) -> Path:
    """Return the file of published weights, downloaded once if ``weights`` is a name of :data:`HUB` and no file.

    Raises:
        UserError: The file cannot be downloaded, or what arrives is not what the hub lists.

    Convention:
        The hub lists the SHA-256 of every large file. Files are kept in torch's hub folder.
    """
    if weights.exists() or str(weights) not in HUB:
        return weights
    repository, name = HUB[str(weights)]
    path = Path(torch.hub.get_dir()) / "checkpoints" / repository.replace("/", "_") / name
    if path.is_file():
        return path
    url = f"{HOST}/{repository}/resolve/main/{name}"
    try:
        with urlopen(f"{HOST}/{repository}/raw/main/{name}", timeout=TIMEOUT) as answer:
            digest = re.search(r"oid sha256:([0-9a-f]{64})", answer.read(1000).decode())
        if digest is None:
            raise ValueError("no checksum is listed")
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(path), hash_prefix=digest[1])
    except (OSError, ValueError, RuntimeError) as error:
        raise UserError(
            f"pretrained: cannot download {weights} ({reason(error, most=120)}). Get {url} on another machine and "
            "give the path of the file."
        ) from error
    return path
