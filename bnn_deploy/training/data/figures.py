"""The ten figures of the data set `shapes`, each as a signed distance to its outline, positive inside.

A function takes coordinates u (to the right) and v (down) of one shape, in units of the figure's size, and returns the
distances in that shape. No two figures are turned or scaled copies of each other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

Field = npt.NDArray[np.floating[Any]]


def disc(u: Field, v: Field) -> Field:
    """Radius 0.8."""
    return 0.8 - np.hypot(u, v)


def ring(u: Field, v: Field) -> Field:
    """Radii 0.45 and 0.85."""
    return 0.2 - np.abs(np.hypot(u, v) - 0.65)


def half_disc(u: Field, v: Field) -> Field:
    """The lower half of a disc of radius 0.95, centred by its height."""
    return _both(0.95 - np.hypot(u, v + 0.4), v + 0.4)


def crescent(u: Field, v: Field) -> Field:
    """A disc of radius 0.9 without one of radius 0.65 that is moved to the right, past its rim."""
    return _both(0.9 - np.hypot(u, v), np.hypot(u - 0.45, v) - 0.65)


def square(u: Field, v: Field) -> Field:
    """Sides of 1.4."""
    return 0.7 - _either(np.abs(u), np.abs(v))


def frame(u: Field, v: Field) -> Field:
    """A square of sides 1.5 with a hole of sides 0.9."""
    return _both(0.75 - _either(np.abs(u), np.abs(v)), _either(np.abs(u), np.abs(v)) - 0.45)


def triangle(u: Field, v: Field) -> Field:
    """Equilateral, one corner up."""
    side = np.asarray(np.sqrt(3) / 2 * np.abs(u) - 0.5 * v)
    return 0.48 - _either(v, side)


def star(u: Field, v: Field) -> Field:
    """Five points: radius 1 outside, 0.42 inside; one edge is looked at, the others are folded onto it."""
    sector = np.pi / 5
    angle = np.abs((np.arctan2(v, u) + sector) % (2 * sector) - sector)
    radius = np.hypot(u, v)
    edge = np.array([0.42 * np.cos(sector) - 1, 0.42 * np.sin(sector)])
    normal = np.array([edge[1], -edge[0]]) / np.hypot(*edge)
    distance: Field = normal[0] * (1 - radius * np.cos(angle)) - normal[1] * radius * np.sin(angle)
    return distance


def cross(u: Field, v: Field) -> Field:
    """Two bars of 1.8 x 0.54, crossed in their middles."""
    return _either(_box(u, v, 0.27, 0.9), _box(u, v, 0.9, 0.27))


def angle(u: Field, v: Field) -> Field:
    """The letter L, two bars of unequal length."""
    return _either(_box(u + 0.4, v, 0.25, 0.9), _box(u - 0.05, v - 0.65, 0.7, 0.25))


def _box(u: Field, v: Field, half_width: float, half_height: float) -> Field:
    return _both(half_width - np.abs(u), half_height - np.abs(v))


def _both(a: Field, b: Field) -> Field:
    return np.where(a < b, a, b)


def _either(a: Field, b: Field) -> Field:
    return np.where(a < b, b, a)


FIGURES: dict[str, Callable[[Field, Field], Field]] = {
    "disc": disc,
    "ring": ring,
    "half-disc": half_disc,
    "crescent": crescent,
    "square": square,
    "frame": frame,
    "triangle": triangle,
    "star": star,
    "cross": cross,
    "angle": angle,
}
