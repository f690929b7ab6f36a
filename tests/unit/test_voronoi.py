"""Tessellations, neighbours and walks of crystals equal known truths and brute force."""

import signal
import time
from itertools import product

import numpy as np
import pytest
from scipy.spatial import Voronoi

from matlas.crystals import voronoi
from matlas.crystals.limits import TimeLimitExceeded, time_limit
from matlas.crystals.neighbours import neighbours_within, reduced_cell
from matlas.crystals.order import shell_shares
from matlas.crystals.structure import lattice_of
from matlas.crystals.voronoi import GeometryError, tessellate

A = 4.0
CUBE = A * np.eye(3)
FACE_CENTRED = [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]
TRICLINIC = lattice_of(4.1, 5.3, 6.7, 77.0, 83.0, 68.0)
FOUR_SITES = np.array([[0.02, 0.11, 0.07], [0.47, 0.63, 0.21], [0.81, 0.29, 0.66], [0.35, 0.12, 0.58]])
SKEW = np.array([[1, 7, -12], [0, 1, 9], [0, 0, 1]])  # of determinant 1


def tessellation_of(lattice, frac, cutoff=0.0):
    lattice, frac = reduced_cell(np.asarray(lattice, dtype=float), np.asarray(frac, dtype=float))
    return tessellate(lattice, frac, neighbours_within(lattice, frac, cutoff), cutoff)


def faces_of(t, above=1e-9):
    """(distance, area) of the faces of each site, the largest last; those that only touch left out."""
    kept = t.area > above
    rows = zip(t.site[kept], t.distance[kept].round(7), t.area[kept].round(7), strict=True)
    return sorted((int(site), float(distance), float(area)) for site, distance, area in rows)


def assert_same_faces(found, expected):
    np.testing.assert_allclose(np.array(faces_of(found)), np.array(faces_of(expected)), rtol=1e-6, atol=1e-6)


def images(reach):
    return np.array(list(product(range(-reach, reach + 1), repeat=3)))


def test_the_cell_of_a_simple_cubic_crystal_is_a_cube():
    t = tessellation_of(CUBE, [[0.3, 0.3, 0.3]])
    assert faces_of(t) == [(0, A, A**2)] * 6
    np.testing.assert_allclose(t.volume, A**3)


def test_the_cell_of_a_body_centred_crystal_is_a_truncated_octahedron():
    t = tessellation_of(CUBE, [[0, 0, 0], [0.5, 0.5, 0.5]])
    near, far = A * np.sqrt(3) / 2, A
    hexagon, square = 3 * np.sqrt(3) / 16 * A**2, A**2 / 8  # edges of A √2/4
    expected = [(site, *face) for site in (0, 1) for face in [(near, hexagon)] * 8 + [(far, square)] * 6]
    np.testing.assert_allclose(faces_of(t), expected, rtol=1e-6)
    np.testing.assert_allclose(t.volume, A**3 / 2)


def test_the_cell_of_a_face_centred_crystal_is_a_rhombic_dodecahedron_whose_corners_touch_the_second_neighbours():
    t = tessellation_of(CUBE, FACE_CENTRED)
    rhombus = A**2 * np.sqrt(2) / 8
    expected = [(site, A / np.sqrt(2), rhombus) for site in range(4) for _ in range(12)]
    np.testing.assert_allclose(faces_of(t), expected, rtol=1e-6)


@pytest.mark.parametrize("skew", [np.eye(3), SKEW, SKEW.T])
def test_faces_equal_those_among_five_hundred_cells_whatever_the_cell(skew):
    everything = (FOUR_SITES[None] + images(4)[:, None]).reshape(-1, 3) @ TRICLINIC
    home = int(np.flatnonzero((images(4) == 0).all(axis=1))[0]) * 4
    whole = Voronoi(everything)
    expected = []
    for ends, loop in zip(whole.ridge_points, whole.ridge_vertices, strict=True):
        for one, other in (ends, ends[::-1]):
            if home <= one < home + 4:
                corners = whole.vertices[loop]
                spokes = corners - corners.mean(axis=0)
                area = np.linalg.norm(np.cross(spokes, np.roll(spokes, -1, axis=0)), axis=1).sum() / 2
                expected.append((one - home, np.linalg.norm(everything[one] - everything[other]), area))
    found = tessellation_of(skew @ TRICLINIC, FOUR_SITES @ np.linalg.inv(skew))
    expected = sorted((s, round(d, 7), round(a, 7)) for s, d, a in expected if a > 1e-9)
    np.testing.assert_allclose(faces_of(found), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("reach", [0.01, 0.7, 1.3])
def test_atoms_that_were_left_out_at_first_are_found_where_they_cut_a_cell(reach, monkeypatch):
    rng = np.random.default_rng(1)
    frac = rng.uniform(size=(7, 3))
    expected = tessellation_of(1.4 * TRICLINIC, frac)
    monkeypatch.setattr(voronoi, "_FIRST_REACH", reach)
    assert_same_faces(tessellation_of(1.4 * TRICLINIC, frac), expected)
    assert_same_faces(tessellation_of(1.4 * TRICLINIC, frac, cutoff=6.0), expected)


def test_a_layer_in_a_vacuum_has_the_cells_of_a_layer():
    height, a = 60.0, 2.46  # graphene
    t = tessellation_of(lattice_of(a, a, height, 90, 90, 120), [[1 / 3, 2 / 3, 0.5], [2 / 3, 1 / 3, 0.5]])
    np.testing.assert_allclose(t.volume, a**2 * np.sqrt(3) / 4 * height)
    bond = a / np.sqrt(3)
    sides = a * height  # of the triangular prism around an atom, whose sides are a long
    walls = [(d, area) for _, d, area in faces_of(t) if d < 1.5]
    np.testing.assert_allclose(walls, [(bond, sides)] * 6, rtol=1e-6)


@pytest.mark.parametrize("lattice", [np.diag([2.0, 2.0, 90.0]), np.diag([1.9, 40.0, 40.0]), SKEW @ TRICLINIC])
@pytest.mark.parametrize("n", [1, 2, 9])
def test_voronoi_cells_fill_flat_long_and_skewed_cells(lattice, n):
    frac = np.random.default_rng(n).uniform(size=(n, 3))
    t = tessellation_of(lattice, frac)
    np.testing.assert_allclose(t.volume.sum(), abs(np.linalg.det(lattice)), rtol=1e-9)


def test_a_crystal_with_two_sites_at_one_place_has_no_tessellation():
    with pytest.raises(GeometryError, match="don't fill the crystal"):
        tessellation_of(TRICLINIC, np.concatenate([FOUR_SITES, FOUR_SITES[:1]]))


def test_reducing_a_cell_undoes_a_skew_and_keeps_the_crystal():
    reduced, frac = reduced_cell(SKEW @ TRICLINIC, FOUR_SITES @ np.linalg.inv(SKEW))
    gram = reduced @ reduced.T
    assert (np.diff(np.diag(gram)) >= 0).all()
    shortest = min(v @ v for v in images(3) @ TRICLINIC if v.any())
    np.testing.assert_allclose(gram[0, 0], shortest)
    sums = images(1)[:, :2] @ reduced[:2]
    assert min(((reduced[2] + s) ** 2).sum() for s in sums) >= gram[2, 2] - 1e-9  # Minkowski's condition
    np.testing.assert_allclose(abs(np.linalg.det(reduced)), abs(np.linalg.det(TRICLINIC)))
    steps = (frac @ reduced - FOUR_SITES @ TRICLINIC) @ np.linalg.inv(TRICLINIC)  # from site to site: of the lattice
    np.testing.assert_allclose(steps, np.rint(steps), atol=1e-9)
    assert ((frac >= 0) & (frac < 1)).all()


@pytest.mark.parametrize("block", [10, 2_000_000])
def test_neighbours_are_all_pairs_within_the_distance(block, monkeypatch):
    monkeypatch.setattr("matlas.crystals.neighbours._BLOCK", block)
    near = neighbours_within(TRICLINIC, FOUR_SITES, 7.0)
    expected = []
    for i, j, image in product(range(4), range(4), images(4)):
        distance = np.linalg.norm((FOUR_SITES[j] + image - FOUR_SITES[i]) @ TRICLINIC)
        if 0 < distance <= 7.0:
            expected.append((i, j, *image, round(distance, 7)))
    found = zip(near.site, near.neighbour, *near.image.T, near.distance.round(7), strict=True)
    np.testing.assert_allclose(sorted(found), sorted(expected), atol=1e-6)
    assert (np.diff(near.site) >= 0).all()


def test_shells_are_walks_that_enter_no_site_twice():
    t = tessellation_of(TRICLINIC, FOUR_SITES)
    kind = np.array([0, 1, 0, 2])
    steps = [[] for _ in range(4)]
    for site, neighbour, image, area in zip(t.site, t.neighbour, t.image.tolist(), t.area, strict=True):
        steps[site].append((int(neighbour), image, area / t.area[t.site == site].max()))
    expected = np.zeros((3, 4, 3))

    def walk(start, visited, weight):
        site, cell = visited[-1]
        for neighbour, image, share in steps[site]:
            there = (neighbour, tuple(np.add(cell, image).tolist()))
            if there not in visited:
                expected[len(visited) - 1, start, kind[neighbour]] += weight * share
                if len(visited) < 3:
                    walk(start, [*visited, there], weight * share)

    for start in range(4):
        walk(start, [(start, (0, 0, 0))], 1.0)
    expected /= expected.sum(axis=2, keepdims=True)
    np.testing.assert_allclose(shell_shares(t, kind), expected, rtol=1e-10)


def test_a_time_limit_stops_what_takes_longer_and_lets_the_rest_be():
    with pytest.raises(TimeLimitExceeded, match="longer than 0.02 s"), time_limit(0.02):
        while True:
            pass
    with time_limit(60.0):
        done = True
    assert done


def test_a_time_limit_leaves_the_timer_that_ran_before():
    def alarm(signum, frame):
        raise AssertionError("too early")

    before, left = signal.getsignal(signal.SIGALRM), signal.getitimer(signal.ITIMER_REAL)
    signal.signal(signal.SIGALRM, alarm)
    try:
        signal.setitimer(signal.ITIMER_REAL, 500.0)
        with time_limit(60.0):
            time.sleep(0.05)
        assert signal.getsignal(signal.SIGALRM) is alarm
        assert 400.0 < signal.getitimer(signal.ITIMER_REAL)[0] < 499.96
    finally:
        signal.signal(signal.SIGALRM, before)
        signal.setitimer(signal.ITIMER_REAL, *left)


def test_a_time_limit_that_a_destructor_swallows_is_raised_again():
    with pytest.raises(TimeLimitExceeded), time_limit(0.02):
        try:
            while True:
                pass
        except TimeLimitExceeded:
            pass
        while True:
            pass


def test_a_time_limit_that_ends_with_the_work_leaves_no_alarm_behind():
    handler, limits = signal.getsignal(signal.SIGALRM), np.random.default_rng(0).uniform(1e-6, 3e-5, 3000)
    exceeded = 0
    for seconds in limits.tolist():
        try:
            with time_limit(seconds):
                sum(range(100))
        except TimeLimitExceeded:
            exceeded += 1
        assert signal.getsignal(signal.SIGALRM) is handler
    assert 0 < exceeded < 3000
