"""Chemical order around the sites of a crystal: what the walks over the faces of its Voronoi cells end on."""

from __future__ import annotations

import numpy as np

from matlas.crystals.voronoi import Tessellation, pair_keys

SHELLS = (1, 2, 3)


def face_shares(t: Tessellation, kind: np.ndarray) -> np.ndarray:
    """(n, k) share of the surface of each Voronoi cell that faces sites of each kind. kind : (n,) int64 of 0 … k-1."""
    faced = _by_kind(t, t.area, kind)
    return faced / faced.sum(axis=1, keepdims=True)


def shell_shares(t: Tessellation, kind: np.ndarray) -> list[np.ndarray]:
    """For each of SHELLS the share (n, k) of the walks from each site that end on a site of each kind.

    A walk takes as many steps over faces as the shell says and enters no site twice; a step weighs the area of its face
    over the largest of the cell that it leaves, a walk the product of its steps. kind : (n,) int64 of 0 … k-1.
    Definition: Ward et al. 2017, Phys. Rev. B 96, 024104; the sums are those of pymatgen's `_get_nn_shell_info`, taken
    over all steps less those that would enter a site again (as a walk of three steps can do on a triangle of faces).
    """
    n, kinds = len(t.volume), kind.max() + 1
    largest = np.zeros(n)
    np.maximum.at(largest, t.site, t.area)
    there, back = t.area / largest[t.site], t.area / largest[t.neighbour]

    def of_kind(weight: np.ndarray) -> np.ndarray:  # (n,) at the kind of each site
        result = np.zeros((n, kinds))
        result[np.arange(n), kind] = weight
        return result

    def onwards(shell: np.ndarray) -> np.ndarray:  # one step, then the walks of a shell
        return np.stack([np.bincount(t.site, there * column[t.neighbour], n) for column in shell.T], axis=1)

    returning = np.bincount(t.site, there * back, n)
    first = _by_kind(t, there, kind)
    second = onwards(first) - of_kind(returning)
    third = onwards(second) - returning[:, None] * first + _by_kind(t, there * there * back, kind)
    third -= of_kind(_triangles(t, there, back))
    return [shell / shell.sum(axis=1, keepdims=True) for shell in (first, second, third)]


def _by_kind(t: Tessellation, weight: np.ndarray, kind: np.ndarray) -> np.ndarray:
    """(n, k) weights (f,) of the faces summed by their site and the kind of the neighbour."""
    n, kinds = len(t.volume), kind.max() + 1
    return np.bincount(t.site * kinds + kind[t.neighbour], weight, n * kinds).reshape(n, kinds)


def _triangles(t: Tessellation, there: np.ndarray, back: np.ndarray) -> np.ndarray:
    """(n,) sum over the closed walks of three steps from each site, each the product of its steps.

    there, back : (f,) weight of the step over each face from its site to the neighbour, and of the step back.
    """
    n, reach = len(t.volume), 2 * np.abs(t.image).max()
    keys = pair_keys(t.site, t.neighbour, t.image, n, reach)
    order = np.argsort(keys)
    # every face, with each face of the neighbour behind it
    degree = np.bincount(t.site, minlength=n)
    count = degree[t.neighbour]
    begin = (np.cumsum(degree) - degree)[t.neighbour] - (np.cumsum(count) - count)
    one = np.repeat(np.arange(len(keys)), count)
    two = np.arange(len(one)) + np.repeat(begin, count)
    # a face between the first and the third site closes the walk
    closing = pair_keys(t.site[one], t.neighbour[two], t.image[one] + t.image[two], n, reach)
    three = order[np.minimum(np.searchsorted(keys, closing, sorter=order), len(keys) - 1)]
    closed = np.flatnonzero(keys[three] == closing)
    one, two, three = one[closed], two[closed], three[closed]
    return np.bincount(t.site[one], there[one] * there[two] * back[three], n)
