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


def reference(locals_, globals_, estimator, anchor):
    """loss, dloss/dlocals, dloss/dglobals"""
    u = np.einsum("id,jpd->ijp", globals_, locals_)  # [global i, image j, location p]
    own = np.eye(N, dtype=bool)
    positive = u[own]  # [N, M]
    if estimator == "jensenShannon":
        negative = u[~own]
        loss = (softplus(negative) - np.log(2)).mean() - (np.log(2) - softplus(-positive)).mean()
        w = 1 / (1 + np.exp(-u)) / (N * (N - 1) * M)
        w[own] = -1 / (1 + np.exp(positive)) / (N * M)
    elif anchor == "local":
        normaliser = log_sum_exp(u, 0)  # [j, p]
        loss = (normaliser - positive).mean()
        w = np.exp(u - normaliser[None]) / (N * M)
        w[own] -= 1 / (N * M)
    else:
        others = np.where(own[:, :, None], -np.inf, u).reshape(N, -1)
        log_z = log_sum_exp(others, 1)  # [i]
        normaliser = np.logaddexp(positive, log_z[:, None])  # [i, p]
        loss = (normaliser - positive).mean()
        # each of the M positives of image i has its own softmax over itself and the same negatives
        inverse = log_sum_exp(-normaliser, 1)  # ln sum_p 1/denominator
        w = np.exp(u + inverse[:, None, None]) / (N * M)
        w[own] = (np.exp(positive - normaliser) - 1) / (N * M)
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
        for estimator, anchor in (("infoNCE", "global"), ("infoNCE", "local"), ("jensenShannon", "global")):
            loss, dl, dg = reference(locals_.astype(np.float64), globals_.astype(np.float64), estimator, anchor)
            # the gradients' products with other waves: any wrong element shows
            cases.append(dict(
                reach=reach, scale=scale, estimator=estimator, anchor=anchor, loss=loss,
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
    print(f"{'estimator':14}{'anchor':8}{'scores':>9}{'ranks':>7}{'loss':>12}{'d/dlocals':>12}{'d/dglobals':>12}  limit")
    with tempfile.TemporaryDirectory() as folder:
        for reach, limit in ((10, 1e-5), (200, 1e-4)):
            locals_ = random.normal(size=(N, M, D))
            globals_ = random.normal(size=(N, D))
            scale = (reach / np.abs(np.einsum("id,jpd->ijp", globals_, locals_)).max()) ** 0.5
            locals_, globals_ = (locals_ * scale).astype(np.float32), (globals_ * scale).astype(np.float32)
            np.save(f"{folder}/l.npy", locals_)
            np.save(f"{folder}/g.npy", globals_)
            for estimator, anchor in (("infoNCE", "global"), ("infoNCE", "local"), ("jensenShannon", "global")):
                expected = reference(locals_.astype(np.float64), globals_.astype(np.float64), estimator, anchor)
                for ranks in (1, 2, 3):
                    output = subprocess.run(
                        ["mpirun", "-np", str(ranks), "--oversubscribe", program, "objective", "--locals",
                         f"{folder}/l.npy", "--globals", f"{folder}/g.npy", "--estimator", estimator, "--anchor", anchor,
                         "--gradients", f"{folder}/out"],
                        check=True, capture_output=True, text=True, env=environment).stdout
                    answer = json.loads(output)
                    gradients = [np.load(f"{folder}/out/{name}.npy").astype(np.float64) for name in ("locals", "globals")]
                    errors = [abs(answer["loss"] - expected[0]) / abs(expected[0])] + [
                        np.linalg.norm(mine - theirs) / np.linalg.norm(theirs)
                        for mine, theirs in zip(gradients, expected[1:])]
                    missed |= max(errors) > limit
                    print(f"{estimator:14}{anchor:8}{'±' + str(reach):>9}{answer['world_size']:7}"
                          + "".join(f"{e:12.1e}" for e in errors) + f"  {limit:.0e}" + ("  MISSED" if max(errors) > limit else ""))
    sys.exit(int(missed))


if __name__ == "__main__":
    main()
