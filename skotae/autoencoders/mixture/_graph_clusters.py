"""Clusters of rows in the graph of their nearest neighbours."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import LinearOperator, eigsh
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.neighbors import kneighbors_graph

N_NEIGHBOURS = 10
N_DIRECTIONS = 50
# Of an edge between two rows only one of which is a neighbour of the other: enough to keep the
# graph in one piece, too little to join clusters.
ONE_SIDED = 0.01
N_DENSE = 500


def graph_clusters(X: np.ndarray, n_clusters: int, seed: int) -> np.ndarray:
    """Labels from 0 to n_clusters - 1, by spectral clustering.

    k-means of the rows, scaled to length 1, of the leading eigenvectors of the normalised
    graph (Ng, Jordan and Weiss, 2001). There are half as many of those again as clusters, since
    some may only set apart a few outlying rows (Rebagliati and Verri, 2011). Neighbours are those
    in the 50 leading principal components.
    """
    if min(X.shape) > N_DIRECTIONS:
        # Rows that are all the same have no explained variance to take shares of.
        with np.errstate(invalid="ignore"):
            X = PCA(N_DIRECTIONS, random_state=seed).fit_transform(X)
    out = kneighbors_graph(X, min(N_NEIGHBOURS, len(X) - 1))
    edges = sp.csr_array(out.minimum(out.T) + ONE_SIDED * (out + out.T))
    vectors = _leading_vectors(edges, min(3 * n_clusters // 2, len(X)), seed)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors = vectors / np.maximum(lengths, np.finfo(np.float64).tiny)
    return KMeans(n_clusters, n_init=20, random_state=seed).fit_predict(vectors)


def _leading_vectors(edges: sp.csr_array, n_vectors: int, seed: int) -> np.ndarray:
    """Eigenvectors of the largest eigenvalues of D^-1/2 W D^-1/2, of shape (n, n_vectors)."""
    n = edges.shape[0]
    root = np.sqrt(edges.sum(axis=1))
    graph = sp.csr_array(sp.diags_array(1 / root) @ edges @ sp.diags_array(1 / root))
    if n <= max(N_DENSE, 2 * n_vectors):
        return np.linalg.eigh(graph.toarray())[1][:, -n_vectors:]
    # The eigenvalue 1 has a known vector for each piece of the graph; the Lanczos method, which
    # misses some where there are many, gets the others.
    piece = connected_components(edges, directed=False)[1]
    largest = np.argsort(-np.bincount(piece), kind="stable")[:n_vectors]
    known = np.where(piece[:, None] == largest, root[:, None], 0.0)
    known /= np.linalg.norm(known, axis=0)
    missing = n_vectors - len(largest)
    if missing == 0:
        return known
    others = LinearOperator(
        graph.shape, lambda x: graph @ x - known @ (known.T @ x), dtype=np.float64
    )
    start = np.random.default_rng(seed).normal(size=n)
    return np.hstack([known, eigsh(others, missing, which="LA", v0=start, tol=1e-4)[1]])
