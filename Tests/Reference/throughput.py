"""Speed of the local DIM step beside the same model in PyTorch, in one sitting, one after the other, several rounds.

    python3 Tests/Reference/throughput.py PEER.py [PATH_OF_dim-dist] [ROUNDS]

PEER.py is the PyTorch program (prints one JSON line with step_ms and images_per_second); the python that runs this must
have torch. One thread a rank, 64 images a rank, critic units 512 and 2048, 1 and 2 ranks, each pinned to a core. Prints
a table: the median over rounds of images a second, their range, and the product's ratio to each form of the peer.
"""
import json, os, statistics, subprocess, sys

BATCH = 64


def last_json(command, environment):
    output = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout
    return json.loads([line for line in output.splitlines() if line.startswith("{")][-1])


def main():
    peer = sys.argv[1]
    program = sys.argv[2] if len(sys.argv) > 2 else ".build/release/dim-dist"
    rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 3
    environment = dict(
        os.environ, OMP_NUM_THREADS="1", OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
    for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):  # they would slow the peer
        environment.pop(name, None)

    def commands(units, ranks):
        launcher = [sys.executable] if ranks == 1 else [
            sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={ranks}"]
        step = [program, "bench", "step", "--json", "--units", str(units), "--batch-per-rank", str(BATCH)]
        yield "dim-dist", ["mpirun", "-np", str(ranks), "--bind-to", "core", *step]
        for form in ("direct", "folded"):  # the peer's --batch is a rank's
            yield form, [*launcher, peer, "--form", form, "--steps", "20", "--units", str(units), "--batch", str(BATCH)]

    print(f"{'units':>6}{'ranks':>6}{'program':>10}{'images/s':>10}{'range':>16}{'ratio':>8}")
    for units in (512, 2048):
        for ranks in (1, 2):
            speeds = {}
            for _ in range(rounds):
                for name, command in commands(units, ranks):
                    speeds.setdefault(name, []).append(last_json(command, environment)["images_per_second"])
            mine = statistics.median(speeds["dim-dist"])
            for name, values in speeds.items():
                median = statistics.median(values)
                spread = f"{min(values):.0f} to {max(values):.0f}"
                print(f"{units:6}{ranks:6}{name:>10}{median:10.0f}{spread:>16}{mine / median:8.2f}", flush=True)


if __name__ == "__main__":
    main()
