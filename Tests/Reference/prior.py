"""Two-sample tests of a run's codes against its prior, before and after training.

    python3 Tests/Reference/prior.py RUN_DIRECTORY IMAGES [PATH_OF_dim-dist]      needs numpy, scipy, scikit-learn

Embeds the test images with the trained encoder and with the untrained one of the same settings, and compares the codes
(sigmoid(code) where the prior is uniform) with as many samples of the prior. Three tests, because each is blind to
something: the Kolmogorov-Smirnov distance of each dimension (marginals alone; the 1 % limit for one dimension is given),
the energy distance of the joint samples with its p-value by permutation, and the accuracy of a classifier trained to
tell codes from samples, on held-out rows (50 % where it can't). A sample of the prior itself stands beside as control.
"""
import json, subprocess, sys, tempfile
import numpy as np
from scipy.spatial.distance import cdist
from scipy.stats import kstest
from sklearn.ensemble import HistGradientBoostingClassifier

ROWS = 2000


def energy(x, y, random, permutations=200):
    """Energy distance of two samples (Székely & Rizzo 2013), and the share of permutations that reach it."""
    both = np.concatenate([x, y])
    distances = cdist(both, both)
    sign = np.repeat([1.0, -1.0], [len(x), len(y)])

    def statistic(s):
        return -(s @ distances @ s) / (len(x) * len(y))

    value = statistic(sign)
    reached = sum(statistic(random.permutation(sign)) >= value for _ in range(permutations))
    return value, (reached + 1) / (permutations + 1)


def report(name, codes, prior, random):
    cdf = "uniform" if prior == "uniform" else "norm"
    samples = random.uniform(size=codes.shape) if prior == "uniform" else random.normal(size=codes.shape)
    ks = np.array([kstest(codes[:, k], cdf).statistic for k in range(codes.shape[1])])
    distance, p = energy(codes, samples, random)
    rows, labels = np.concatenate([codes, samples]), np.repeat([0, 1], len(codes))
    order = random.permutation(len(rows))
    train, test = order[: len(order) // 2], order[len(order) // 2:]
    accuracy = HistGradientBoostingClassifier(random_state=0).fit(rows[train], labels[train]).score(rows[test], labels[test])
    print(f"{name:12}{ks.mean():10.3f}{ks.max():10.3f}{distance:12.4f}{p:10.3f}{100 * accuracy:14.1f}")


def main():
    run, images = sys.argv[1], sys.argv[2]
    program = sys.argv[3] if len(sys.argv) > 3 else ".build/release/dim-dist"
    configuration = json.load(open(f"{run}/config.json"))
    prior = configuration["objective"]["prior"]["distribution"]
    random = np.random.default_rng(0)
    print(f"{'codes':12}{'KS mean':>10}{'KS max':>10}{'energy':>12}{'p':>10}{'classifier, %':>14}"
          f"    {ROWS} test images, prior {prior}, KS 1 % limit {1.63 / ROWS ** 0.5:.3f}")
    with tempfile.TemporaryDirectory() as folder:
        untrained = f"{folder}/untrained"
        subprocess.run([program, "train", "--config", f"{run}/config.json", "--data", images, "--steps", "0", "--output",
                        untrained], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for name, path in (("untrained", untrained), ("trained", run)):
            subprocess.run([program, "embed", "--run", path, "--data", images, "--split", "test", "--output",
                            f"{folder}/codes.npy"], check=True, stdout=subprocess.DEVNULL)
            codes = random.permutation(np.load(f"{folder}/codes.npy").astype(np.float64))[:ROWS]
            report(name, 1 / (1 + np.exp(-codes)) if prior == "uniform" else codes, prior, random)
    shape = (ROWS, codes.shape[1])
    report("the prior", random.uniform(size=shape) if prior == "uniform" else random.normal(size=shape), prior, random)


if __name__ == "__main__":
    main()
