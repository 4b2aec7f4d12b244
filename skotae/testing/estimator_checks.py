"""skotae's own checks of an autoencoder, beside those of scikit-learn."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from unittest import SkipTest

from sklearn.base import clone

from skotae.testing.base import CHECKS, Check


def autoencoder_checks(estimator: Any = None) -> Iterator[Check]:
    """All checks, one after the other.

    A check is a function of an unfitted estimator, which it leaves alone. It raises an
    ``AssertionError`` that says what is wrong, or ``unittest.SkipTest`` if it needs an
    optional package that is not installed. The checks fit on up to 60 rows of 6 features
    with values in [0, 1]; those that need another width replace encoder and decoder by
    small multilayer perceptrons. The number of epochs is that of the estimator: a few
    are enough.

    Parameters
    ----------
    estimator : estimator, default=None
        If given, checks of methods that it does not have are left out: an estimator
        without an encoder has no ``transform``, one without a decoder no ``sample``.

    Yields
    ------
    check : callable
        Its ``__name__`` tells what it is about.

    See Also
    --------
    check_autoencoder : Run them all.
    sklearn.utils.estimator_checks.parametrize_with_checks : scikit-learn's checks.

    Examples
    --------
    With pytest, one test for each check::

        @pytest.mark.parametrize("check", [*autoencoder_checks()], ids=lambda c: c.__name__)
        def test_skotae(check):
            check(MyAutoencoder(max_iter=3))

    >>> from skotae.testing import autoencoder_checks
    >>> "check_history" in [check.__name__ for check in autoencoder_checks()]
    True
    """
    for check, needs in CHECKS:
        if estimator is None or all(hasattr(estimator, method) for method in needs):
            yield check


def check_autoencoder(estimator: Any) -> None:
    """Run all of skotae's checks on an autoencoder.

    Parameters
    ----------
    estimator : estimator
        An instance with few epochs and small networks, fitted or not; it is cloned.

    Raises
    ------
    AssertionError
        For the first check that does not pass; a note names the check.

    See Also
    --------
    autoencoder_checks : The same one by one.

    Examples
    --------
    >>> from skotae import WAEEstimator
    >>> from skotae.testing import check_autoencoder
    >>> check_autoencoder(WAEEstimator(n_components=2, hidden_layer_sizes=(8,), max_iter=2))
    """
    for check in autoencoder_checks(estimator):
        try:
            check(clone(estimator))
        except SkipTest:
            continue
        except Exception as error:
            error.add_note(f"in {check.__name__} of {type(estimator).__name__}")
            raise
