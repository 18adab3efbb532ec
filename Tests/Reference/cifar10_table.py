"""The CIFAR-10 table of Hjelm et al. 2019 (classification by an MLP on conv, fc and code), from this program's run files.

    python3 Tests/Reference/cifar10_table.py FOLDER_WITH_data_batch_1.bin OUTPUT [RANKS]

Trains `launch/runs/cifar10-dim-*.json5` into OUTPUT (a run that is there goes on or is taken as it is), evaluates each,
the controls once, and prints the table beside the published numbers. 20 epochs here, 1000 there. An hour and a half on
2 cores, evaluations included.
"""
import json, os, subprocess, sys

ROWS = {  # run file: its name, and the published conv, fc, code
    "dim-global": ("DIM(G)", (52.20, 52.84, 43.17)),
    "dim-local-dv": ("DIM(L) DV", (72.66, 70.60, 64.71)),
    "dim-local-jsd": ("DIM(L) JSD", (73.25, 73.62, 66.96)),
    "dim-local-infonce": ("DIM(L) InfoNCE", (75.21, 75.57, 69.13)),
}
LAYERS = ("conv", "fc", "code")


def scores(run):
    """The newest value of each evaluation that the run's metrics hold."""
    lines = (json.loads(line) for line in open(f"{run}/metrics.jsonl"))
    return {line["eval"]: 100 * line["value"] for line in lines if line.get("value") is not None}


def main():
    data, output, ranks = sys.argv[1], sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else "2"
    launch = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../launch/run")
    for place, name in enumerate(ROWS):
        run = f"{output}/{name}"
        subprocess.run([launch, ranks, "train", "--config", f"launch/runs/cifar10-{name}.json5", "--data", data,
                        "--output", run, "--resume"], check=True)
        if f"mlpPublished/trained {LAYERS[-1]}" not in scores(run):
            subprocess.run([launch, ranks, "eval", "--run", run, "--layer", ",".join(LAYERS), "--probe", "mlpPublished"]
                           + (["--without-controls"] if place else []), check=True)
    print(f"\n{'MLP, test %':18}" + "".join(f"{layer:>9}" for layer in LAYERS) + "     published" )
    for name, (title, published) in ROWS.items():
        found = scores(f"{output}/{name}")
        print(f"{title:18}" + "".join(f"{found[f'mlpPublished/trained {layer}']:9.2f}" for layer in LAYERS)
              + "     " + "".join(f"{value:7.2f}" for value in published))
    controls = scores(f"{output}/{next(iter(ROWS))}")
    print(f"{'untrained':18}" + "".join(f"{controls[f'mlpPublished/untrained {layer}']:9.2f}" for layer in LAYERS))
    for name in ("raw pixels", "PCA-64"):
        print(f"{name:18}{controls[f'mlpPublished/{name}']:9.2f}")


if __name__ == "__main__":
    main()
