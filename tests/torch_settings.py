"""What a caller may have set in torch."""

from contextlib import contextmanager

import torch


@contextmanager
def default_dtype(dtype):
    """Another default dtype, until the end of the block."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
