"""What to paste into a bug report."""

from __future__ import annotations

import platform
import sys
from importlib.metadata import PackageNotFoundError, version

PACKAGES = ("skotae", "torch", "scikit-learn", "numpy", "scipy", "POT", "joblib", "safetensors")


def show_versions() -> None:
    """Print the versions of Python, the platform, skotae and what it stands on.

    Examples
    --------
    >>> from skotae import show_versions
    >>> show_versions()  # doctest: +ELLIPSIS
    python        ...
    """
    lines = [("python", sys.version.split()[0]), ("platform", platform.platform())]
    for name in PACKAGES:
        try:
            lines.append((name, version(name)))
        except PackageNotFoundError:
            lines.append((name, "not installed"))
    for name, value in lines:
        print(f"{name:<13} {value}")
