"""Versions of what the package stands on."""

from __future__ import annotations

import platform
import sys
from importlib.metadata import PackageNotFoundError, version

PACKAGES = ("skotae", "torch", "scikit-learn", "numpy", "scipy", "POT", "joblib", "safetensors")


def installed_versions() -> dict[str, str]:
    """Versions of Python, the platform and packages, by name."""
    found = {"python": sys.version.split()[0], "platform": platform.platform()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found
