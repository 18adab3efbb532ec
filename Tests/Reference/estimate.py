"""`dim-dist estimate` on Gaussians whose mutual information is known: a table of all estimators.

    python3 Tests/Reference/estimate.py [--program PATH] [--rows N] [--ranks 1,3] [--estimators E,…] [--seeds 0,…]
                                        [OPTIONS OF estimate]                               needs numpy

Cases: d = 1 with rho = 0.9 (0.830 nats), d = 20 at 2 and 4 nats, d = 20 independent, each of N rows (20,000 by default).
A value is marked ! where it misses: more than 0.08 from 0.830, more than 10 % from 2 and 4, 0.05 or more from 0, more
than 0.02 from the first number of ranks, or more than 120 seconds. Exits 1 if one does.
"""
import argparse, json, os, subprocess, sys, tempfile
import numpy as np

CASES = {  # dimensions, nats, tolerance
    "d=1, 0.830": (1, -0.5 * np.log(1 - 0.9**2), 0.08),
    "d=20, 2": (20, 2.0, 0.2),
    "d=20, 4": (20, 4.0, 0.4),
    "d=20, 0": (20, 0.0, 0.05),
}
ESTIMATORS = "infoNCE,mine,donskerVaradhan,nwj,jensenShannon,smile"


def gaussians(rows, dimensions, nats, seed):
    """Rows of x and y, each column pair correlated by rho: I = -d/2 ln(1 - rho^2)."""
    generator = np.random.default_rng(seed)
    rho = np.sqrt(1 - np.exp(-2 * nats / dimensions))
    x = generator.standard_normal((rows, dimensions))
    y = rho * x + np.sqrt(1 - rho**2) * generator.standard_normal((rows, dimensions))
    return x.astype(np.float32), y.astype(np.float32)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", default=".build/release/dim-dist")
    parser.add_argument("--rows", type=int, default=20000)
    parser.add_argument("--ranks", default="1")
    parser.add_argument("--estimators", default=ESTIMATORS)
    parser.add_argument("--seeds", default="0")
    options, rest = parser.parse_known_args()
    environment = dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
    missed = False
    print(f"{options.rows} rows; nats ± standard error, seconds by ranks {options.ranks}")
    with tempfile.TemporaryDirectory() as folder:
        for seed in map(int, options.seeds.split(",")):
            for place, (name, (dimensions, nats, tolerance)) in enumerate(CASES.items()):
                x, y = gaussians(options.rows, dimensions, nats, 10 * seed + place)
                np.save(f"{folder}/x.npy", x)
                np.save(f"{folder}/y.npy", y)
                for estimator in options.estimators.split(","):
                    cells, first = [], None
                    for ranks in map(int, options.ranks.split(",")):
                        result = subprocess.run(
                            ["mpirun", "-np", str(ranks), "--oversubscribe", "--bind-to", "none", options.program,
                             "estimate", "--x", f"{folder}/x.npy", "--y", f"{folder}/y.npy", "--estimator", estimator,
                             "--seed", str(seed), *rest],
                            check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
                        report = json.loads(result.stdout)
                        value = report["nats"]
                        first = value if first is None else first
                        wrong = abs(value - nats) > tolerance or abs(value - first) > 0.02 or report["seconds"] > 120
                        missed |= wrong
                        cells.append(
                            f"{value:7.3f} ± {report['standard_error']:.3f}{'!' if wrong else ' '} "
                            f"{report['seconds']:5.1f} s{' (warns)' if report['warning'] else ''}")
                    print(f"seed {seed}  {name:11} {estimator:16}", " ".join(cells), flush=True)
    sys.exit(int(missed))


if __name__ == "__main__":
    main()
