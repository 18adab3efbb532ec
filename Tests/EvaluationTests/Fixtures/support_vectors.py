"""Optimum of scikit-learn's LinearSVC (liblinear, one-vs-rest squared hinge); writes support_vectors.json.
usage: python3 support_vectors.py      (needs numpy and scikit-learn)

liblinear's C is 1/(penalty·n). Its bias has a penalty, which a large intercept_scaling makes negligible."""
import json
import pathlib

import numpy as np
from sklearn.svm import LinearSVC

N, D, K, PENALTY = 40, 3, 3, 0.05
rng = np.random.default_rng(11)
labels = rng.integers(0, K, N)
x = (rng.normal(size=(N, D)) + 1.5 * np.eye(K, D)[labels]).astype(np.float32).astype(np.float64)
model = LinearSVC(C=1 / (PENALTY * N), dual=False, tol=1e-12, max_iter=1_000_000, intercept_scaling=1000.0)
model.fit(x, labels)

sign = 2 * np.eye(K)[labels] - 1
slack = np.maximum(0, 1 - sign * (x @ model.coef_.T + model.intercept_))
loss = (slack**2).sum(1).mean() + PENALTY / 2 * (model.coef_**2).sum()
slope = -2 * sign * slack / N
assert np.abs(slope.T @ x + PENALTY * model.coef_).max() < 1e-6 and np.abs(slope.sum(0)).max() < 1e-6
pathlib.Path(__file__).with_suffix(".json").write_text(json.dumps({
    "penalty": PENALTY, "dimension": D, "classes": K, "x": x.ravel().tolist(), "labels": labels.tolist(),
    "weights": model.coef_.ravel().tolist(), "bias": model.intercept_.tolist(), "loss": loss}) + "\n")
