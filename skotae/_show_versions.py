"""What to paste into a bug report."""

from __future__ import annotations

from skotae.utils._versions import installed_versions


def show_versions() -> None:
    """Print the versions of Python, the platform, skotae and what it stands on.

    Examples
    --------
    >>> from skotae import show_versions
    >>> show_versions()  # doctest: +ELLIPSIS
    python        ...
    """
    for name, value in installed_versions().items():
        print(f"{name:<13} {value}")
