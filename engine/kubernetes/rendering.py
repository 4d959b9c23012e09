"""What is to be applied: a folder with a kustomization, as `kubectl kustomize` renders it, or plain manifests."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import yaml

from engine.errors import ConfigurationError
from engine.kubernetes.objects import Object

_SECONDS = 60
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def rendered(folder: Path) -> list[Object]:
    """All objects of the folder, in the order they stand.

    Raises:
        ConfigurationError: there are none, or they cannot be rendered.
    """
    try:
        if any((folder / name).is_file() for name in ("kustomization.yaml", "kustomization.yml", "Kustomization")):
            texts = [_kustomized(folder)]
        else:
            texts = [path.read_text(encoding="utf8") for path in sorted(folder.glob("*.y*ml"))]
        found = [each for text in texts for each in yaml.load_all(text, _Loader) if each]
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        message = str(error).partition("\n")[0]
        raise ConfigurationError(f"The manifests in {folder} cannot be read: {message}.") from None
    if not found:
        raise ConfigurationError(f"There are no manifests in {folder}; give the folder of an overlay.")
    return found


def _kustomized(folder: Path) -> str:
    program = shutil.which("kubectl")
    if program is None:
        raise ConfigurationError(
            f"{folder} is a kustomization, and there is no kubectl on this host to render it; install it, or give a "
            "folder of rendered manifests."
        )
    try:
        done = subprocess.run([program, "kustomize", str(folder)], capture_output=True, text=True, timeout=_SECONDS)
    except subprocess.TimeoutExpired:
        raise ConfigurationError(f"kubectl kustomize {folder} did not end within {_SECONDS} s.") from None
    if done.returncode:
        message = " ".join(done.stderr.split())[:500]
        raise ConfigurationError(f"kubectl kustomize {folder} ended with {done.returncode}: {message}")
    return done.stdout
