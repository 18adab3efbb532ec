"""Scores of classifiers that see few labels, by scikit-learn, on rows drawn anew by the rules of LabelDraws and Folds;
writes few_labels.json.
usage: python3 few_labels.py      (needs numpy, torch and scikit-learn)"""
import itertools
import json
import math
import pathlib
import sys

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "Reference"))
from draws import index, normal, philox

TRAIN, TEST, WIDTH, CLASSES, DATA_SEED = 600, 1000, 12, 10, 3
FOLDS, PENALTIES = 5, [10.0 ** -i for i in range(7)]
SYNTHETIC, SPLIT, LABELS = 6, 5, 11                       # purposes of random numbers


def words(seed, purpose, sample):
    for draw in itertools.count():
        yield from philox((seed, 0), (draw, sample, 0, purpose))


def row(number):
    stream = words(DATA_SEED, SYNTHETIC, number)
    label = index(stream, CLASSES)
    return [(2.5 if column == label else 0) + normal(stream) for column in range(WIDTH)], label


def key(seed, purpose, number):
    stream = words(seed, purpose, number)
    return next(stream) << 32 | next(stream), number


def drawn(labels, seed, size):
    """Rows with the least numbers of each class, in the order of the data"""
    chosen = []
    for label in range(CLASSES):
        rows = sorted((i for i in range(TRAIN) if labels[i] == label), key=lambda i: key(seed, LABELS, i))
        chosen += rows[:size(len(rows))]
    return sorted(chosen)


def folds(labels, seed):
    """The fold of each row, dealt class by class"""
    order = [i for label in range(CLASSES)
             for i in sorted((i for i, own in enumerate(labels) if own == label), key=lambda i: key(seed, SPLIT, i))]
    result = np.empty(len(labels), int)
    result[order] = np.arange(len(order)) % FOLDS
    return result


def fit(x, y, penalty):
    return LogisticRegression(C=1 / (penalty * len(y)), tol=1e-9, max_iter=100000).fit(x, y)


def linear(x, y, test_x, test_y, seed):
    scaler = StandardScaler().fit(x)
    x, fold, best, worse = scaler.transform(x), folds(y, seed), (None, -1), 0
    for penalty in PENALTIES:
        if worse == 2:
            break
        correct = sum(int((fit(x[fold != f], y[fold != f], penalty).predict(x[fold == f]) == y[fold == f]).sum())
                      for f in range(FOLDS))
        worse = 0 if correct > best[1] else worse + 1
        best = (penalty, correct) if worse == 0 else best
    model = fit(x, y, best[0])
    return best[0], float((model.predict(scaler.transform(test_x)) == test_y).mean())


def neighbours(x, y, test_x, test_y):
    model = KNeighborsClassifier(min(20, len(y)), metric="cosine", weights=lambda d: np.exp(-d / 0.07)).fit(x, y)
    return float((model.predict(test_x) == test_y).mean())


rows = [row(number) for number in range(TRAIN + TEST)]
x, y = np.array([values for values, _ in rows]), np.array([label for _, label in rows])
train_x, train_y, test_x, test_y = x[:TRAIN], y[:TRAIN], x[TRAIN:], y[TRAIN:]
cases = []
for count, size in [("3", lambda n: 3), ("10", lambda n: 10), ("25%", lambda n: math.floor(n / 4 + 0.5))]:
    for seed in (1, 2):
        chosen = drawn(train_y, seed, size)
        penalty, accuracy = linear(train_x[chosen], train_y[chosen], test_x, test_y, seed)
        cases.append({"count": count, "seed": seed, "rows": chosen, "penalty": penalty, "linear": accuracy,
                      "knn": neighbours(train_x[chosen], train_y[chosen], test_x, test_y)})
        print({name: value for name, value in cases[-1].items() if name != "rows"}, len(chosen))
pathlib.Path(__file__).with_suffix(".json").write_text(json.dumps(cases) + "\n")
