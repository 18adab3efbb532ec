"""`dim-dist estimate` on rows whose mutual information is known: a table of estimators.

    python3 Tests/Reference/estimate.py [--program PATH] [--rows N] [--ranks 1,3] [--estimators E,…] [--seeds 0,…]
                                        [--cases 'NAME;…'] [OPTIONS OF estimate]               needs numpy

Cases: Gaussians of d = 1 with rho = 0.9 (0.830 nats), of d = 20 at 2 and 4 nats and independent, each of N rows (20,000 by
default); and what no smooth function fits: x + noise of a tenth and of a hundredth, x + U(0, 0.2), a sine of 6 periods
(1.70 by nearest neighbours), 100 classes of 16 features as labels and one column each, and independent rows, each four
times. A value is marked ! where it misses by more than 5 % and more than 0.05 nats, by more than 0.02 from the first
number of ranks, or takes more than 120 seconds; of other estimators than infoNCE 10 % and 0.08. Exits 1 if one does.
"""
import argparse, json, os, subprocess, sys, tempfile
import numpy as np

ESTIMATORS = "infoNCE,mine,donskerVaradhan,nwj,jensenShannon,smile"


def gaussians(rows, generator, dimensions, nats):
    """Rows of x and y, each column pair correlated by rho: I = -d/2 ln(1 - rho^2)."""
    rho = np.sqrt(1 - np.exp(-2 * nats / dimensions))
    x = generator.standard_normal((rows, dimensions))
    y = rho * x + np.sqrt(1 - rho**2) * generator.standard_normal((rows, dimensions))
    return x.astype(np.float32), y.astype(np.float32), nats


def noisy(rows, generator, noise):
    x = generator.standard_normal(rows)
    return x, x + noise * generator.standard_normal(rows), np.log(1 + noise**-2) / 2


def uniform(rows, generator):
    x = generator.random(rows)
    return x, x + 0.2 * generator.random(rows), 0.1 - np.log(0.2)


def sine(rows, generator):
    x = generator.random(rows // 2)
    return x, np.sin(40 * x) + 0.1 * generator.standard_normal(rows // 2), 1.70


def classes(rows, generator, columns):
    centres = 6 * generator.standard_normal((100, 16))
    labels = generator.integers(0, 100, rows // 2)
    share = np.bincount(labels, minlength=100) / len(labels)
    x = centres[labels] + generator.standard_normal((len(labels), 16))
    return x, np.eye(100)[labels] if columns else labels, -(share * np.log(share)).sum()


def copies(rows, generator):
    row = generator.permutation(np.repeat(np.arange(1000), 4))
    return generator.standard_normal((1000, 20))[row], generator.standard_normal((1000, 5))[row], 0.0


CASES = {
    "d=1, 0.830": lambda rows, generator: gaussians(rows, generator, 1, -0.5 * np.log(1 - 0.9**2)),
    "d=20, 2": lambda rows, generator: gaussians(rows, generator, 20, 2.0),
    "d=20, 4": lambda rows, generator: gaussians(rows, generator, 20, 4.0),
    "d=20, 0": lambda rows, generator: gaussians(rows, generator, 20, 0.0),
    "noise 0.1": lambda rows, generator: noisy(rows, generator, 0.1),
    "noise 0.01": lambda rows, generator: noisy(rows, generator, 0.01),
    "uniform": uniform,
    "sine": sine,
    "labels": lambda rows, generator: classes(rows, generator, False),
    "columns": lambda rows, generator: classes(rows, generator, True),
    "copies": copies,
}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", default=".build/release/dim-dist")
    parser.add_argument("--rows", type=int, default=20000)
    parser.add_argument("--ranks", default="1")
    parser.add_argument("--estimators", default=ESTIMATORS)
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--cases", default=";".join(CASES), help="separated by ;")
    options, rest = parser.parse_known_args()
    environment = dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
    missed = False
    print(f"{options.rows} rows; nats ± standard error, seconds by ranks {options.ranks}")
    with tempfile.TemporaryDirectory() as folder:
        for seed in map(int, options.seeds.split(",")):
            for place, (name, made) in enumerate(CASES.items()):
                if name not in options.cases.split(";"):
                    continue
                x, y, nats = made(options.rows, np.random.default_rng(10 * seed + place))
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
                        share, least = (0.05, 0.05) if estimator == "infoNCE" else (0.1, 0.08)
                        wrong = (abs(value - nats) > max(share * nats, least) or abs(value - first) > 0.02
                                 or report["seconds"] > 120)
                        missed |= wrong
                        near = report["reference_nats"]
                        cells.append(
                            f"{value:7.3f} ± {report['standard_error']:.3f}{'!' if wrong else ' '} "
                            f"{report['seconds']:5.1f} s{'' if near is None else f', ksg {near:.3f}'}"
                            f"{' (warns)' if report['warning'] else ''}")
                    print(f"seed {seed}  {name:11} {estimator:16}", " ".join(cells), flush=True)
    sys.exit(int(missed))


if __name__ == "__main__":
    main()
