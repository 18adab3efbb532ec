"""Optimum of penalised multinomial logistic regression by Newton's method in float64; writes logistic_regression.json.
usage: python3 logistic_regression.py      (needs numpy)"""
import json
import pathlib

import numpy as np

N, D, K, PENALTY = 40, 3, 3, 0.01
rng = np.random.default_rng(7)
labels = rng.integers(0, K, N)
x = (rng.normal(size=(N, D)) + np.eye(K, D)[labels]).astype(np.float32).astype(np.float64)
onehot = np.eye(K)[labels]
design = np.hstack([x, np.ones((N, 1))])                 # [N, D + 1], the bias last
mask = np.tile(np.r_[np.ones(D), 0], K)                   # the bias has no penalty


def probabilities(theta):
    u = design @ theta.reshape(K, D + 1).T
    e = np.exp(u - u.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def gradient(theta):
    return ((probabilities(theta) - onehot).T @ design / N).ravel() + PENALTY * mask * theta


theta = np.zeros(K * (D + 1))
for _ in range(50):
    p = probabilities(theta)
    hessian = np.diag(PENALTY * mask)
    for row, q in zip(design, p):
        hessian += np.kron(np.diag(q) - np.outer(q, q), np.outer(row, row)) / N
    # Adding a constant to every bias changes nothing, so the Hessian is singular there: the least-squares step
    # keeps the biases' sum at 0, as a search from 0 does.
    theta -= np.linalg.lstsq(hessian, gradient(theta), rcond=1e-10)[0]
assert np.abs(gradient(theta)).max() < 1e-13

weights = theta.reshape(K, D + 1)
loss = -np.log(probabilities(theta)[np.arange(N), labels]).mean() + PENALTY / 2 * (weights[:, :D] ** 2).sum()
pathlib.Path(__file__).with_suffix(".json").write_text(json.dumps({
    "penalty": PENALTY, "dimension": D, "classes": K, "x": x.ravel().tolist(), "labels": labels.tolist(),
    "weights": weights[:, :D].ravel().tolist(), "bias": weights[:, D].tolist(), "loss": loss}) + "\n")
