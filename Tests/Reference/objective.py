"""Holds `dim-dist objective` against the losses as written in the papers, in float64, with analytic gradients.

    python3 Tests/Reference/objective.py [PATH_OF_dim-dist]      needs numpy; prints a table, exits 1 on a miss

N = 37 images, M² = 49 locations, d = 24, at 1, 2 and 3 ranks under mpirun. Scores reach ±10, then ±200.

    python3 Tests/Reference/objective.py --fixture > Tests/RankTests/Fixtures/objective.json

writes what RankTests hold the same sizes against: the loss, and norms and projections of both gradients.
"""
import json, os, subprocess, sys, tempfile
import numpy as np

N, M, D = 37, 49, 24


def log_sum_exp(x, axis):
    largest = x.max(axis=axis, keepdims=True)
    return (np.log(np.exp(x - largest).sum(axis=axis, keepdims=True)) + largest).squeeze(axis)


def softplus(x):
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def sigmoid(x):
    return np.exp(-softplus(-x))


def bounded(x):
    """e^x, which goes on as its tangent beyond 40, and its slope"""
    e = np.exp(np.minimum(x, 40))
    return e * (1 + np.maximum(x - 40, 0)), e


def scaled(pair, a, b):
    """a·value + b, a·slope"""
    return a * pair[0] + b, a * pair[1]


# What a positive counts and a negative costs, each with its slope (reference table of Nowozin et al. 2016).
DIVERGENCES = {
    "jensenShannon": (lambda p: (np.log(2) - softplus(-p), sigmoid(-p)), lambda q: (softplus(q) - np.log(2), sigmoid(q))),
    "nwj": (lambda p: (p, np.ones_like(p)), lambda q: bounded(q - 1)),
    "reverseKL": (lambda p: (-bounded(-p)[0], bounded(-p)[1]), lambda q: (q - 1, np.ones_like(q))),
    "squaredHellinger": (lambda p: (1 - bounded(-p)[0], bounded(-p)[1]), lambda q: scaled(bounded(q), 1, -1)),
    "pearsonChiSquared": (lambda p: (p, np.ones_like(p)), lambda q: (q * q / 4 + q, q / 2 + 1)),
    "gan": (lambda p: (-softplus(-p), sigmoid(-p)), lambda q: (softplus(q), sigmoid(q))),
}
CASES = [("infoNCE", "global", "exact"), ("infoNCE", "local", "exact"), ("infoNCE", "both", "exact"),
         ("infoNCE", "global", "published"), ("donskerVaradhan", "global", "exact")] + [
    (name, "global", "exact") for name in DIVERGENCES]


def by_scores(u, estimator, anchor, compatibility):
    """loss and dloss/du, u[global i, image j, location p]"""
    own = np.eye(N, dtype=bool)
    positive = u[own]  # [N, M]
    if estimator in DIVERGENCES:
        of_positive, of_negative = DIVERGENCES[estimator]
        w = of_negative(u)[1] / (N * (N - 1) * M)
        w[own] = -of_positive(positive)[1] / (N * M)
        return of_negative(u[~own])[0].mean() - of_positive(positive)[0].mean(), w
    if estimator == "donskerVaradhan":
        log_sum = log_sum_exp(u[~own].ravel(), 0)
        w = np.exp(u - log_sum)
        w[own] = -1 / (N * M)
        return log_sum - np.log(N * (N - 1) * M) - positive.mean(), w
    if anchor == "both":
        parts = [by_scores(u, estimator, one, compatibility) for one in ("global", "local")]
        return sum(part[0] for part in parts) / 2, sum(part[1] for part in parts) / 2
    if anchor == "local":
        normaliser = log_sum_exp(u, 0)  # [j, p]
        w = np.exp(u - normaliser[None]) / (N * M)
        w[own] -= 1 / (N * M)
        return (normaliser - positive).mean(), w
    # exact: an image's own other locations are left out; published: they stay with a score of -10
    others = np.where(own[:, :, None], -np.inf if compatibility == "exact" else -10, u).reshape(N, -1)
    log_z = log_sum_exp(others, 1)  # [i]
    normaliser = np.logaddexp(positive, log_z[:, None])  # [i, p]
    # each of the M positives of image i has its own softmax over itself and the same negatives
    inverse = log_sum_exp(-normaliser, 1)  # ln sum_p 1/denominator
    w = np.exp(u + inverse[:, None, None]) / (N * M)
    w[own] = (np.exp(positive - normaliser) - 1) / (N * M)
    return (normaliser - positive).mean(), w


def reference(locals_, globals_, *case):
    """loss, dloss/dlocals, dloss/dglobals"""
    loss, w = by_scores(np.einsum("id,jpd->ijp", globals_, locals_), *case)
    return loss, np.einsum("ijp,id->jpd", w, globals_), np.einsum("ijp,jpd->id", w, locals_)


def waves(shape, pace, phase, scale):
    """Inputs by formula, so that the tests can make them too: scale·(sin(pace·i + phase) + sin(pace²·i)), float32."""
    i = np.arange(np.prod(shape), dtype=np.float64)
    return (scale * (np.sin(pace * i + phase) + np.sin(pace * pace * i))).astype(np.float32).reshape(shape)


def fixture():
    cases = []
    for reach in (10, 200):
        locals_, globals_ = waves((N, M, D), 0.7, 0.3, 1), waves((N, D), 1.9, 1.1, 1)
        scale = float(np.float32((reach / np.abs(np.einsum("id,jpd->ijp", globals_, locals_)).max()) ** 0.5))
        locals_, globals_ = waves((N, M, D), 0.7, 0.3, scale), waves((N, D), 1.9, 1.1, scale)
        for case in CASES:
            loss, dl, dg = reference(locals_.astype(np.float64), globals_.astype(np.float64), *case)
            # the gradients' products with other waves: any wrong element shows
            cases.append(dict(
                reach=reach, scale=scale, estimator=case[0], anchor=case[1], compatibility=case[2], loss=loss,
                localsNorm=np.linalg.norm(dl), globalsNorm=np.linalg.norm(dg),
                localsProjections=[float((dl * waves(dl.shape, 0.5 + 0.1 * k, k, 1)).sum()) for k in range(4)],
                globalsProjections=[float((dg * waves(dg.shape, 0.5 + 0.1 * k, k, 1)).sum()) for k in range(4)]))
    print(json.dumps(cases, indent=1))


def main():
    if sys.argv[1:] == ["--fixture"]:
        return fixture()
    program = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else ".build/release/dim-dist")
    environment = dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
    random = np.random.default_rng(0)
    missed = False
    print(f"{'estimator':18}{'anchor':8}{'':10}{'scores':>9}{'ranks':>7}{'loss':>12}{'d/dlocals':>12}{'d/dglobals':>12}  limit")
    with tempfile.TemporaryDirectory() as folder:
        for reach, limit in ((10, 1e-5), (200, 1e-4)):
            locals_ = random.normal(size=(N, M, D))
            globals_ = random.normal(size=(N, D))
            scale = (reach / np.abs(np.einsum("id,jpd->ijp", globals_, locals_)).max()) ** 0.5
            locals_, globals_ = (locals_ * scale).astype(np.float32), (globals_ * scale).astype(np.float32)
            np.save(f"{folder}/l.npy", locals_)
            np.save(f"{folder}/g.npy", globals_)
            for case in CASES:
                expected = reference(locals_.astype(np.float64), globals_.astype(np.float64), *case)
                for ranks in (1, 2, 3):
                    output = subprocess.run(
                        ["mpirun", "-np", str(ranks), "--oversubscribe", program, "objective", "--locals",
                         f"{folder}/l.npy", "--globals", f"{folder}/g.npy", "--estimator", case[0], "--anchor", case[1],
                         "--compat", case[2], "--gradients", f"{folder}/out"],
                        check=True, capture_output=True, text=True, env=environment).stdout
                    answer = json.loads(output)
                    gradients = [np.load(f"{folder}/out/{name}.npy").astype(np.float64) for name in ("locals", "globals")]
                    errors = [abs(answer["loss"] - expected[0]) / abs(expected[0])] + [
                        np.linalg.norm(mine - theirs) / np.linalg.norm(theirs)
                        for mine, theirs in zip(gradients, expected[1:])]
                    missed |= max(errors) > limit
                    print(f"{case[0]:18}{case[1]:8}{case[2]:10}{'±' + str(reach):>9}{answer['world_size']:7}"
                          + "".join(f"{e:12.1e}" for e in errors) + f"  {limit:.0e}" + ("  MISSED" if max(errors) > limit else ""))
    sys.exit(int(missed))


if __name__ == "__main__":
    main()
