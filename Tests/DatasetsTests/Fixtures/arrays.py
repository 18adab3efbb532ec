#!/usr/bin/env python3
"""Writes arrays of numbers and text as NumPy does (arrays.npz). Needs numpy.

    python3 Tests/DatasetsTests/Fixtures/arrays.py
"""
import pathlib

import numpy

numpy.savez_compressed(
    pathlib.Path(__file__).parent / "arrays.npz",
    features=numpy.arange(6, dtype="<f4").reshape(2, 3) / 4,
    labels=numpy.array([7, 0, -5, 2147483647], "<i4"),
    indices=numpy.array([0, 1, -(2**63), 2**63 - 1], "<i8"),
    classes=numpy.array(["cat", "räuber", "", "🦊🐈‍⬛", "日本", "e\u0301"]),
    unnamed=numpy.array([""]),
    no_text=numpy.array([], str),
    no_labels=numpy.array([], "<i4"),
    no_indices=numpy.array([], "<i8"),
)
