"""One process of a group, run by ``test_group.py``: solves its share and saves what it got.

python group_worker.py PROBLEMS RANK SIZE FOLDER
"""

import sys
from pathlib import Path

import torch
from torch import distributed

from skotae.transport import sinkhorn_divergence


def main(problems, rank, size, folder):
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=(folder / "meeting").as_uri(), rank=rank, world_size=size
    )
    results = []
    for arguments, shares in torch.load(problems):
        tensors = {
            name: arguments.pop(name)[slice(*shares[name][rank])].clone().requires_grad_()
            for name in shares
        }
        value, info = sinkhorn_divergence(
            **tensors, **arguments, group=distributed.group.WORLD, return_info=True
        )
        value.backward()
        gradients = {name: tensor.grad for name, tensor in tensors.items()}
        results.append((value.detach(), info.converged, gradients))
    torch.save(results, folder / f"{rank}.pt")
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
