"""Distances on a sphere, of any dtypes, and what is refused."""

import pytest
import torch

from skotae.transport import geodesic_distances


def _on_sphere(n, seed):
    points = torch.randn(n, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return 2.0 * torch.nn.functional.normalize(points)


def test_direct_formula():
    z, y = _on_sphere(4, 0), _on_sphere(5, 1)
    expected = 2.0 * torch.arccos(z @ y.T / 4.0)
    torch.testing.assert_close(geodesic_distances(z, y), expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_other_dtypes(dtype):
    z, y = _on_sphere(4, 0).to(dtype), _on_sphere(5, 1)
    expected = geodesic_distances(z.double(), y)
    torch.testing.assert_close(geodesic_distances(z, y), expected)
    torch.testing.assert_close(geodesic_distances(y, z), expected.T, rtol=2e-2, atol=2e-2)
    narrow = geodesic_distances(z, y.to(dtype))
    assert narrow.dtype == dtype
    torch.testing.assert_close(narrow.double(), expected, rtol=2e-2, atol=2e-2)


def test_what_is_refused():
    with pytest.raises(ValueError, match="same number of features, got 3 and 2"):
        geodesic_distances(torch.eye(3), torch.eye(2))
    with pytest.raises(ValueError, match="z must be of a floating-point dtype"):
        geodesic_distances(torch.ones(2, 3, dtype=torch.int64), torch.eye(3))
