"""What displays share: late matplotlib, axes, colours, and what they ask of an estimator."""

from __future__ import annotations

import re
from textwrap import fill
from typing import Any

import numpy as np
import torch
from sklearn.utils import resample
from sklearn.utils.validation import check_is_fitted

from skotae.metrics.base import check_column, check_table
from skotae.utils._random import make_generator
from skotae.utils._torch import as_rows
from skotae.utils.base import brief

# Okabe and Ito (2008), Color universal design: told apart with any colour vision.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000")
DATA, MODEL, GOOD, GREY = COLOURS[0], COLOURS[5], COLOURS[2], "0.6"
# In inches, at 100 dots each: what a page of the documentation is wide.
WIDTH = 6.24
MAX_ROWS = 2000
# Codes that stand for a prior.
N_DRAWS = 4000


def pyplot(caller: str) -> Any:
    """``matplotlib.pyplot``, or an ImportError that says how to install it."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            f"{caller} requires matplotlib; install it with: pip install 'skotae[plot]'"
        ) from error
    return plt


def panels(
    caller: str, ax: Any, n_rows: int, n_cols: int = 1, height: float = 2.2
) -> tuple[Any, np.ndarray]:
    """A figure and a grid of axes; a given `ax` is divided if it is to hold several.

    Parameters
    ----------
    caller : str
        What needs matplotlib, for the error message.
    ax : matplotlib axes or None
        None makes a figure of its own.
    n_rows, n_cols : int
        Number of panels.
    height : float, default=2.2
        Of a row of panels, in inches.
    """
    plt = pyplot(caller)
    if ax is None:
        size = (WIDTH, height * n_rows + 0.4)
        figure, axes = plt.subplots(
            n_rows, n_cols, figsize=size, squeeze=False, layout="constrained"
        )
        return figure, axes
    if not isinstance(ax, plt.Axes):
        raise TypeError(f"ax={brief(ax)}; expected one axes of matplotlib, such as plt.gca().")
    figure = ax.figure
    if n_rows * n_cols == 1:
        return figure, np.array([[ax]])
    spec = ax.get_subplotspec()
    if spec is None:
        raise ValueError("ax has no place in a grid of axes; expected one of plt.subplots.")
    ax.set_axis_off()
    grid = spec.subgridspec(n_rows, n_cols)
    axes = [[figure.add_subplot(grid[i, j]) for j in range(n_cols)] for i in range(n_rows)]
    return figure, np.array(axes)


def last_step(estimator: Any, **arrays: Any) -> tuple[Any, ...]:
    """A fitted estimator, or the last step of a pipeline; and rows as it is given them.

    Rows go by the names of the arguments that they came as; None stays None, but for ``X``, and
    of tensors there are the numbers.
    """
    check_is_fitted(estimator)
    for name, X in arrays.items():
        if X is not None or name == "X":
            check_table(X, name, may_be_file=True)
    rows = tuple(None if X is None else as_rows(X, name) for name, X in arrays.items())
    if not hasattr(estimator, "steps"):
        return estimator, *rows
    before = estimator[:-1]
    if len(before):
        rows = tuple(None if X is None else before.transform(X) for X in rows)
    return estimator[-1], *rows


def need(display: str, estimator: Any, methods: tuple[str, ...], instead: str) -> None:
    """Refuse by name an estimator that lacks what a display shows.

    Raises
    ------
    TypeError
        If one of the methods is missing; it says what to use instead.
    """
    missing = [name for name in methods if not hasattr(estimator, name)]
    if missing:
        raise TypeError(
            f"{display} needs {' and '.join(methods)}, and {type(estimator).__name__} has no "
            f"{' and no '.join(missing)}; use {instead}."
        )


def some(seed: int, *arrays: Any, n: int = MAX_ROWS) -> Any:
    """At most n rows of arrays or data frames, the same of each; None stays None."""
    given = [array for array in arrays if array is not None]
    shape = getattr(given[0], "shape", None)
    if (shape[0] if shape else len(given[0])) > n:
        taken = resample(*given, replace=False, n_samples=n, random_state=seed)
        given = [taken] if len(given) == 1 else list(taken)
    rest = iter(given)
    found = tuple(None if array is None else next(rest) for array in arrays)
    return found[0] if len(found) == 1 else found


def numbers_of(X: Any, name: str) -> np.ndarray:
    """What is drawn, of an array, a data frame or a tensor, in float64."""
    return np.asarray(as_rows(X, name), dtype=np.float64)


def labels_of(y: Any, X: Any) -> np.ndarray | None:
    """A label or a number for each row; None stays None."""
    return None if y is None else check_column(y, "y", len(X), "X")


def codes_of(estimator: Any, X: Any, seed: int) -> np.ndarray:
    """One draw from the posterior of each row."""
    draws = estimator.sample_posterior(X, 1, random_state=seed)
    return np.asarray(draws, dtype=np.float64)[:, 0]


def prior_draws(estimator: Any, seed: int, n: int = N_DRAWS) -> np.ndarray:
    """Draws from the prior, or from what the model learns in its place."""
    draws = estimator.model_.draw_codes(n, make_generator(seed), torch.float64)
    return draws.detach().cpu().numpy()


def decoded(estimator: Any, codes: np.ndarray) -> np.ndarray:
    """Rows of codes, also where there is no `inverse_transform`."""
    return estimator._inference(np.float64).decoded(np.ascontiguousarray(codes, dtype=np.float64))


def comparable(estimator: Any, *arrays: Any) -> tuple[np.ndarray, ...]:
    """Rows whose columns have one unit, as the estimator's own score compares them."""
    return tuple(estimator._units.comparable(np.asarray(rows, dtype=np.float64)) for rows in arrays)


def columns_of(estimator: Any) -> np.ndarray:
    """Names of the columns."""
    names = getattr(estimator, "feature_names_in_", None)
    if names is None:
        return np.array([f"x{i}" for i in range(estimator.n_features_in_)])
    return np.asarray(names).astype(str)


def column_name(columns: Any, k: int, width: int) -> str:
    """Name of column k, cut where it is longer than `width` letters."""
    name = f"x{k}" if columns is None else str(columns[k])
    return shown(name if len(name) <= width else name[: width - 1] + "…")


def shown(name: Any) -> str:
    """A user's name as matplotlib draws it letter by letter.

    Dollars are no formula, a legend hides no name that begins with an underscore, and it is one
    line. What has been made so stays as it is.
    """
    line = re.sub(r"(?<!\\)\$", r"\\$", " ".join(str(name).split()))
    return f" {line}" if line.startswith("_") else line


def image_shape_of(estimator: Any, image_shape: Any) -> tuple[int, ...] | None:
    """Shape of an image that a row is: as given, or as a ConvNet has it; None for tables.

    Raises
    ------
    ValueError
        If it has another number of pixels than a row.
    """
    if image_shape is None:
        for part in ("decoder", "encoder"):
            image_shape = getattr(getattr(estimator, part, None), "image_shape", image_shape)
    if image_shape is None:
        return None
    shape = tuple(int(n) for n in image_shape)
    if int(np.prod(shape)) != estimator.n_features_in_ or len(shape) not in (2, 3):
        raise ValueError(
            f"image_shape={image_shape!r} does not fit rows of {estimator.n_features_in_} numbers; "
            "expected (height, width) or (channels, height, width)."
        )
    return shape


def mosaic(rows: np.ndarray, shape: tuple[int, ...], n_cols: int) -> np.ndarray:
    """Images side by side, with a margin of a pixel that is NaN.

    Parameters
    ----------
    rows : ndarray of shape (n, n_features)
    shape : tuple of int
        (height, width) or (channels, height, width).
    n_cols : int
        Number of images in a line.

    Returns
    -------
    picture : ndarray of shape (h, w) or (h, w, 3)
        Of other numbers of channels than 3 the mean.
    """
    images = rows.reshape(len(rows), *shape)
    if len(shape) == 3:
        images = np.moveaxis(images, 1, -1)
        images = images if images.shape[-1] == 3 else images.mean(axis=-1)
    n_rows = -(-len(images) // n_cols)
    h, w, *channels = images.shape[1:]
    picture = np.full((n_rows * (h + 1) + 1, n_cols * (w + 1) + 1, *channels), np.nan)
    for k, image in enumerate(images):
        i, j = divmod(k, n_cols)
        top, left = 1 + i * (h + 1), 1 + j * (w + 1)
        picture[top : top + h, left : left + w] = image
    return picture


def show_images(ax: Any, picture: np.ndarray, low: float, high: float) -> None:
    """A mosaic in grey, or in colour."""
    if picture.ndim == 3:
        ax.imshow(np.nan_to_num((picture - low) / ((high - low) or 1.0), nan=1.0).clip(0, 1))
    else:
        ax.imshow(picture, cmap="gray", vmin=low, vmax=high, interpolation="nearest")
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)


def titled(ax: Any, text: str) -> None:
    """A small title on the left."""
    ax.set_title("\n".join(map(shown, text.split("\n"))), fontsize=9, loc="left")
    ax.tick_params(labelsize=8)
    ax.xaxis.label.set_size(8)
    ax.yaxis.label.set_size(8)


def headline(figure: Any, ax_given: bool, axes: np.ndarray, text: str) -> None:
    """What a figure says, above it; above the first panel where the figure is another's."""
    if ax_given:
        first = axes.ravel()[0]
        old = first.get_title(loc="left")
        room = axes[0, -1].get_window_extent().x1 - first.get_window_extent().x0
        n = max(20, int(room / (0.063 * figure.dpi)))
        titled(first, "\n".join(part for part in (fill(text, n), old) if part))
    else:
        figure.suptitle(fill(shown(text), 92), fontsize=9, x=0.01, ha="left")
