"""The compiled likelihood of GRIDE: the dimension at which the ratios that were seen are likeliest.

In a homogeneous Poisson process of dimension d the volumes within the n-th and the 2n-th neighbour
have a ratio w = μ^(−d), μ = r₂ₙ/rₙ, that follows Beta(n, n). With L = ln μ of N points the
log-likelihood is, but for a constant (Denti, Doimo, Laio and Mira 2022),

    ℓ(d) = N ln d − n d ΣL + (n − 1) Σ ln(1 − e^(−dL)),
    ℓ′(d) = N/d − n ΣL + (n − 1) Σ t,          t = L / (e^(dL) − 1),
    ℓ″(d) = −N/d² − (n − 1) Σ (t² + t L).

ℓ″ < 0, so that there is one maximum and Newton's steps find it. They begin at the moment estimate
d = N (1/n + … + 1/(2n − 1)) / ΣL, since E[dL] = ψ(2n) − ψ(n); for n = 1 that is the answer.
"""

import numpy as np

from shapelib.geometry.loops import compiled

_STEPS = 100
_CLOSE = 1e-13


@compiled
def _slopes(logs, d):  # type: ignore[no-untyped-def]
    """Σ t and Σ (t² + t L), see above; t is 1/d where L is zero."""
    first, second = 0.0, 0.0
    for i in range(len(logs)):
        grown = np.expm1(d * logs[i])
        t = logs[i] / grown if grown > 0.0 else 1.0 / d
        first += t
        second += t * (t + logs[i])
    return first, second


@compiled
def likeliest(logs, n):  # type: ignore[no-untyped-def]
    """The d of greatest likelihood and −ℓ″(d), the information in the ratios that were seen.

    logs: ln(r₂ₙ/rₙ) of each point, not all of them zero.
    """
    total = 0.0
    for i in range(len(logs)):
        total += logs[i]
    points = float(len(logs))
    expected = 0.0
    for j in range(n, 2 * n):
        expected += 1.0 / j
    d = points * expected / total
    low, high = 0.0, np.inf
    for _ in range(_STEPS):
        first, second = _slopes(logs, d)
        slope = points / d - n * total + (n - 1) * first
        curve = points / (d * d) + (n - 1) * second
        if slope > 0.0:
            low = d
        else:
            high = d
        ahead = d + slope / curve
        # A step out of where the maximum is known to be would be a step of rounding.
        if not low <= ahead <= high:
            ahead = 0.5 * (low + high) if high < np.inf else 2.0 * d
        moved = abs(ahead - d)
        d = ahead
        if moved <= _CLOSE * d:
            break
    _, second = _slopes(logs, d)
    return d, points / (d * d) + (n - 1) * second


@compiled
def along(distances, scales, found):  # type: ignore[no-untyped-def]
    """`likeliest` at each scale n, and 0 where all ratios are 1; scales × 2, written.

    distances: points × k, nearest first, k at least twice the largest scale.
    """
    logs = np.empty(len(distances))
    for s in range(len(scales)):
        n = scales[s]
        moving = False
        for i in range(len(distances)):
            logs[i] = np.log(distances[i, 2 * n - 1] / distances[i, n - 1])
            moving = moving or logs[i] > 0.0
        found[s, 0], found[s, 1] = 0.0, 0.0
        if moving:
            found[s, 0], found[s, 1] = likeliest(logs, n)
