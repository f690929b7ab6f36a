"""One unmixing as a study uses it: endmembers, shares of each pixel, what other seeds find, scores by the truth."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.metrics import adjusted_rand_score

from matlas.errors import ConfigError, DataError
from matlas.threads import Progress
from matlas.unmix.fcls import fcls
from matlas.unmix.match import abundance_rmse, match_endmembers, spectral_angle
from matlas.unmix.nmf import nmf, nmf_then_fcls
from matlas.unmix.vca import vca

MOST_ANGLE = 30.0  # degrees
ALL = "all"  # stands for all endmembers in a table of scores


@dataclass(frozen=True)
class Known:
    """What is known of the materials, for naming and judging only; but the method `given` takes the spectra.

    materials : names; spectra : (m, c) of each, or None; shares : (n, m) in each pixel, or None.
    """

    materials: tuple[str, ...] = ()
    spectra: np.ndarray | None = None
    shares: np.ndarray | None = None


@dataclass(frozen=True)
class Mixture:
    """Spectra (n, c) ≈ abundances (n, m) @ endmembers (m, c), as one run found them."""

    abundances: np.ndarray
    endmembers: np.ndarray

    @property
    def brightness(self) -> np.ndarray:
        """(n,) sum of the abundances of each pixel."""
        return self.abundances.sum(axis=1)

    @property
    def shares(self) -> np.ndarray:
        """(n, m) abundances over their sum; equal shares in a pixel in which nothing was found."""
        sums = self.brightness[:, None]
        equal = np.full_like(self.abundances, 1 / self.abundances.shape[1])
        return np.divide(self.abundances, sums, out=equal, where=sums > 0)

    def residual(self, spectra: np.ndarray) -> np.ndarray:
        """(n,) root of the mean squared difference of each pixel, in the unit of the spectra."""
        found, step = np.empty(len(spectra)), max(1, 2**21 // spectra.shape[1])
        for start in range(0, len(spectra), step):
            block = slice(start, start + step)
            found[block] = np.sqrt(((spectra[block] - self.abundances[block] @ self.endmembers) ** 2).mean(axis=1))
        return found


@dataclass(frozen=True)
class Unmixing:
    """The reference run and what others say of it.

    names : (m,) of the endmembers: the materials that they were matched with, else numbers from 1; mixture : in the
    order of the names; residual : (n,); records : endmember, metric, value and seed of all runs; weights : of the
    encoder, where a network was trained.
    """

    names: tuple[str, ...]
    mixture: Mixture
    residual: np.ndarray
    records: list[dict]
    weights: Mapping[str, np.ndarray] | None = None

    def abundances_frame(self, entities: pd.Index) -> pd.DataFrame:
        """Shares as `abundance_schema` has them; entities : (n,) keys in the order of the spectra."""
        shares = pd.DataFrame(self.mixture.shares, columns=[f"share_{name}" for name in self.names])
        shares.insert(0, entities.name, entities)
        return shares.assign(brightness=self.mixture.brightness, residual=self.residual)

    def endmembers_frame(self, positions: np.ndarray) -> pd.DataFrame:
        """Endmembers as `endmember_schema` has them; positions : (c,) of the channels."""
        m, c = self.mixture.endmembers.shape
        return pd.DataFrame({
            "endmember": np.repeat(np.array(self.names, dtype=object), c), "channel": np.tile(np.arange(c), m),
            "position": np.tile(positions, m), "intensity": self.mixture.endmembers.ravel(),
        })  # fmt: skip


def unmix(spectra: np.ndarray, spec: Mapping, known: Known, *, endmembers: int | None, device: str = "cpu") -> Unmixing:
    """Unmix spectra (n, c) by the method that `spec` describes (schemas.config.methods.Unmixing as plain values), once
    for the result and again with other seeds.

    endmembers : their number (None for the method `given`). Records: `relative_error` (the norm of what the mixture
    leaves over that of the spectra); where there are several seeds, how far the others are from the result (`angle_to_
    reference` in degrees, `rmse_to_reference` of shares, after matching); and where shares or spectra of the materials
    are known `abundance_rmse`, `accuracy` and `ari` (of the endmember with the largest share against the material with
    the largest), `spectral_angle`, and, for comparison, `abundance_rmse_constant`: that of equal shares everywhere.
    Raises ConfigError for `given` without reference spectra, and what the methods raise.
    """
    method = METHODS[spec["algorithm"]]
    if spec["algorithm"] == "given":
        if known.spectra is None:
            raise ConfigError(
                "this view has no reference spectra to unmix by",
                do="add `truth.spectra` to the dataset, take a view whose steps leave them, or another unmixing",
            )
        seeds = [None]
    else:
        seeds = [spec["random_state"] + i for i in range(spec["seeds"])]
    progress, runs, weights = Progress("seeds of the unmixing", len(seeds)), [], None
    norm = np.linalg.norm(spectra)
    records = []
    for i, seed in enumerate(seeds):
        mixture, trained = method(spectra, spec, known, endmembers, seed, device)
        if i == 0:
            names, order = _named(mixture, known)
            weights = trained
            if trained is not None:
                weights = {**trained, "order": order}
        else:
            order = _order_like(mixture, runs[0])
        runs.append(Mixture(mixture.abundances[:, order], mixture.endmembers[order]))
        residual = runs[-1].residual(spectra)
        error = float(np.sqrt((residual**2).sum() * spectra.shape[1]) / norm)
        records.append({"endmember": ALL, "metric": "relative_error", "value": error, "seed": seed})
        records += _judged(runs[-1], names, known, seed, blind=spec["algorithm"] != "given")
        if i:
            records += _compared(runs[-1], runs[0], names, seed)
        else:
            first = residual
        progress.reached(i + 1)
    if known.shares is not None:
        constant = np.full_like(known.shares, 1 / known.shares.shape[1])
        records.append({"endmember": ALL, "metric": "abundance_rmse_constant",
                        "value": abundance_rmse(constant, known.shares), "seed": None})  # fmt: skip
    return Unmixing(names, runs[0], first, records, weights)


def matching(found: np.ndarray, shares: np.ndarray, known: Known) -> tuple[np.ndarray, np.ndarray]:
    """Positions (k,) of endmembers and (k,) of the materials that they stand for: by spectral angle where the spectra
    of the materials are known, else by the correlation of shares; nothing where neither is."""
    if known.spectra is not None:
        pairs = match_endmembers(found, known.spectra)
        return pairs.found, pairs.reference
    if known.shares is not None:
        from scipy.optimize import linear_sum_assignment

        m = shares.shape[1]
        together = np.nan_to_num(np.corrcoef(shares.T, known.shares.T)[:m, m:])  # of constant shares: no correlation
        return linear_sum_assignment(-together)
    return np.array([], dtype=int), np.array([], dtype=int)


def _named(mixture: Mixture, known: Known) -> tuple[tuple[str, ...], np.ndarray]:
    """Names of the endmembers and their order: matched ones in the order of the materials, then by falling share.

    Where the shares of the materials are not known, neither is whether they are there: then an endmember farther than
    MOST_ANGLE from the spectrum that it would be matched with stands for none."""
    found, materials = matching(mixture.endmembers, mixture.shares, known)
    if known.shares is None and known.spectra is not None:  # who may not be there at all
        angles = np.diag(spectral_angle(mixture.endmembers[found], known.spectra[materials]))
        found, materials = found[angles <= MOST_ANGLE], materials[angles <= MOST_ANGLE]
    by_material = found[np.argsort(materials)]
    falling = np.argsort(-mixture.shares.mean(axis=0), kind="stable")
    rest = np.array([i for i in falling if i not in set(by_material.tolist())], dtype=int)
    names = [known.materials[i] for i in sorted(materials)]
    names += [str(i) for i in range(len(names) + 1, len(names) + len(rest) + 1)]
    return tuple(names), np.concatenate([by_material, rest]).astype(int)


def _order_like(mixture: Mixture, reference: Mixture) -> np.ndarray:
    """The order in which the endmembers resemble those of another run. Raises DataError for an endmember of zeros."""
    pairs = match_endmembers(mixture.endmembers, reference.endmembers)
    return pairs.found[np.argsort(pairs.reference)]


def _compared(run: Mixture, reference: Mixture, names: Sequence[str], seed: int) -> list[dict]:
    angles = np.diag(spectral_angle(run.endmembers, reference.endmembers))
    apart = abundance_rmse(run.shares, reference.shares)
    return [
        {"endmember": ALL, "metric": "rmse_to_reference", "value": apart, "seed": seed},
        *({"endmember": name, "metric": "angle_to_reference", "value": float(angle), "seed": seed}
          for name, angle in zip(names, angles, strict=True)),
    ]  # fmt: skip


def _judged(run: Mixture, names: Sequence[str], known: Known, seed: int | None, *, blind: bool) -> list[dict]:
    """Scores of a run whose endmembers bear the names of the materials that they stand for."""
    found = dict(score_mixture(run, names, known, blind=blind))
    return [{"endmember": e, "metric": metric, "value": value, "seed": seed} for (e, metric), value in found.items()]


def score_mixture(run: Mixture, names: Sequence[str], known: Known, *, blind: bool) -> dict[tuple[str, str], float]:
    """{(material or `all`, metric): value} of a mixture by what is known; blind : endmembers were not given.

    A material that no endmember stands for has the share 0, and no angle. Shares of endmembers that stand for none are
    in no column, so that they are missing elsewhere.
    """
    scores = {}
    place = {name: i for i, name in enumerate(names)}
    if known.shares is not None:
        shares = np.zeros_like(known.shares)
        for j, material in enumerate(known.materials):
            if material in place:
                shares[:, j] = run.shares[:, place[material]]
            scores[material, "abundance_rmse"] = abundance_rmse(shares[:, [j]], known.shares[:, [j]])
        scores[ALL, "abundance_rmse"] = abundance_rmse(shares, known.shares)
        truth, largest = known.shares.argmax(axis=1), run.shares.argmax(axis=1)
        right = [known.materials[t] == names[f] for t, f in zip(truth, largest, strict=True)]
        scores[ALL, "accuracy"] = float(np.mean(right))
        scores[ALL, "ari"] = float(adjusted_rand_score(truth, largest))
    if known.spectra is not None and blind:
        here = [(name, place[name], j) for j, name in enumerate(known.materials) if name in place]
        angles = {n: float(spectral_angle(run.endmembers[[i]], known.spectra[[j]])[0, 0]) for n, i, j in here}
        scores |= {(name, "spectral_angle"): angle for name, angle in angles.items()}
        if angles:
            scores[ALL, "spectral_angle"] = float(np.mean(list(angles.values())))
    return scores


Method = Callable[
    [np.ndarray, Mapping, Known, int | None, int | None, str], tuple[Mixture, Mapping[str, np.ndarray] | None]
]


def _vca(spectra, spec, known, endmembers, seed, device):
    found, _ = vca(spectra, endmembers, seed)
    return Mixture(fcls(spectra, found), found), None


def _nmf(spectra, spec, known, endmembers, seed, device):
    found = nmf(spectra, endmembers, loss=spec["loss"], n_starts=spec["n_starts"], random_state=seed)
    return Mixture(found.abundances, found.endmembers), None


def _nmf_fcls(spectra, spec, known, endmembers, seed, device):
    found = nmf_then_fcls(spectra, endmembers, loss=spec["loss"], n_starts=spec["n_starts"], random_state=seed)
    return Mixture(found.abundances, found.endmembers), None


def _softmax_autoencoder(spectra, spec, known, endmembers, seed, device):
    from matlas.unmix.network import softmax_autoencoder  # torch takes two seconds to import

    options = {name: spec[name] for name in ("hidden", "loss", "epochs", "batch_size", "learning_rate")}
    trained = softmax_autoencoder(spectra, endmembers, random_state=seed, device=device, **options)
    return Mixture(trained.unmixed.abundances, trained.unmixed.endmembers), trained.weights


def _given(spectra, spec, known, endmembers, seed, device):
    if known.spectra.shape[1] != spectra.shape[1]:
        raise DataError("reference spectra have other channels than the view", expected=spectra.shape[1],
                        found=known.spectra.shape[1])  # fmt: skip
    return Mixture(fcls(spectra, known.spectra), known.spectra), None


METHODS: dict[str, Method] = {
    "vca": _vca, "nmf": _nmf, "nmf_fcls": _nmf_fcls, "softmax_autoencoder": _softmax_autoencoder, "given": _given,
}  # fmt: skip
