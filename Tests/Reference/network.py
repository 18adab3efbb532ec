"""Steps over a network of nodes with set delay and bandwidth, beside what `bench project` predicts for it.

    sudo python3 Tests/Reference/network.py [PATH_OF_dim-dist] [UNITS] [ROUNDS] [NODES] [RANKS_OF_A_NODE]

Makes network namespaces on this machine (two, unless NODES says otherwise), each a node with a core, and removes them
afterwards. Between them is a relay in this program, which holds each frame back as long as a link of that bandwidth and
delay would: not every kernel has `tc netem`. Needs root, iproute2, network namespaces, /dev/net/tun and mpicc. For each
network: what MPI makes of it (half a ping-pong of 8 bytes, and 2.3 MiB both ways in messages of 60 KiB), which is what
`bench project` is told; the step of one node alone, its projection to all, the measured step on all, and the error of
the projection.

Where there are more nodes than cores, nodes share them, and "alone" is the slowest of as many nodes that work at once
without a network between them. A node that waits then leaves its core to another, which no cluster does.
"""
import json, os, signal, statistics, subprocess, sys, tempfile

import relay

NETWORKS = [("200us", "1Gb"), ("1ms", "1Gb"), ("200us", "3Gb"), ("200us", "200Mb")]  # one way
EXCHANGE = r"""
#include <mpi.h>
#include <stdio.h>
#define MESSAGE (60 << 10)
static char sent[40 * MESSAGE], received[40 * MESSAGE];
static MPI_Request requests[2 * sizeof sent / MESSAGE + 2];
static void exchange(int other) {  // of all, both ways at once
    int count = 0;
    for (size_t i = 0; i < sizeof sent; i += MESSAGE)
        MPI_Irecv(received + i, MESSAGE, MPI_BYTE, other, 0, MPI_COMM_WORLD, &requests[count++]);
    for (size_t i = 0; i < sizeof sent; i += MESSAGE)
        MPI_Isend(sent + i, MESSAGE, MPI_BYTE, other, 0, MPI_COMM_WORLD, &requests[count++]);
    MPI_Waitall(count, requests, MPI_STATUSES_IGNORE);
}
static void ping_pong(int rank) {
    for (int turn = 0; turn < 2; turn++)
        if (turn == rank) MPI_Send(sent, 8, MPI_BYTE, 1 - rank, 0, MPI_COMM_WORLD);
        else MPI_Recv(received, 8, MPI_BYTE, 1 - rank, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
}
int main(int count, char **words) {
    MPI_Init(&count, &words);
    int rank;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    double best[2] = {1e9, 1e9};  // seconds of an exchange, and of a ping-pong
    for (int i = 0; i < 100; i++)
        for (int kind = 0; kind < (i < 10 ? 2 : 1) ; kind++) {
            MPI_Barrier(MPI_COMM_WORLD);
            double start = MPI_Wtime();
            if (kind == 1) exchange(1 - rank); else ping_pong(rank);
            double time = MPI_Wtime() - start;
            if (time < best[1 - kind]) best[1 - kind] = time;
        }
    double latency = best[1] / 2;
    if (rank == 0) printf("[%g, %g]\n", latency * 1e6, sizeof sent / (best[0] - latency) / 1e6);
    MPI_Finalize();
}
"""


def argument(place, default):
    return type(default)(sys.argv[place]) if len(sys.argv) > place else default


def main(network, places, each):
    program = os.path.abspath(argument(1, ".build/release/dim-dist"))
    units, rounds = argument(2, "512"), argument(3, 3)
    environment = dict(
        os.environ, OMP_NUM_THREADS="1", OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
    with tempfile.TemporaryDirectory() as folder:
        agent = f"{folder}/agent"
        with open(agent, "w") as file:  # what mpirun starts its daemons with, in the place of ssh
            file.write('#!/bin/bash\nplace=dimdist${1##*.}\nshift\n'
                       'exec ip netns exec "$place" unshare --uts bash -c "hostname $place; $*"\n')
        with open(f"{folder}/exchange.c", "w") as file:
            file.write(EXCHANGE)
        relay.shell(f"mpicc -O2 -o {folder}/exchange {folder}/exchange.c")
        os.chmod(agent, 0o755)

        def start(numbers, ranks, *program):
            """On the nodes of these numbers, from 1 up, so many ranks a node."""
            first = places[numbers[0] - 1]
            hosts = ",".join(f"10.213.0.{number}:{ranks}" for number in numbers)
            core = 'place=$(hostname); exec taskset -c $(((${place#dimdist} - 1) % $(getconf _NPROCESSORS_ONLN))) "$@"'
            command = [
                "ip", "netns", "exec", first, "unshare", "--uts", "bash", "-c", f'hostname {first}; exec "$0" "$@"',
                "mpirun", "-np", str(ranks * len(numbers)), "--host", hosts, "--bind-to", "none", "--mca",
                "mpi_yield_when_idle", "1" if ranks > 1 or len(places) > os.cpu_count() else "0", "--mca",
                "plm_rsh_agent", agent, "--mca", "btl", "tcp,vader,self", "--mca", "btl_tcp_if_include",
                "10.213.0.0/24", "--mca", "oob_tcp_if_include", "10.213.0.0/24", "-x", "OMP_NUM_THREADS", "bash", "-c",
                core, "bash", *program]
            process = subprocess.Popen(
                command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            jobs.append(process)
            return command, process

        def result(command, process):
            output, errors = process.communicate()
            if process.returncode:
                sys.exit(f"{' '.join(command)}\n{output}{errors}")
            return json.loads([line for line in output.splitlines() if line[:1] in "[{"][-1])

        def run(*arguments):
            return result(*start(*arguments))

        bench = [program, "bench"]
        numbers = list(range(1, len(places) + 1))
        print("  delay  bandwidth       MPI reaches   one node  predicted  measured (range)              error")
        for delay, bandwidth in NETWORKS:
            network.shape(relay.quantity(delay), relay.quantity(bandwidth))
            latency, speed = run([1, 2], 1, f"{folder}/exchange")  # us, MB/s
            alone, predicted, measured = [], [], []
            project = [*bench, "project", "--nodes", str(len(places)), "--bandwidth", f"{speed}MB", "--latency",
                       f"{latency}us", "--units", units, "--json"]
            for _ in range(rounds):
                nodes = numbers if len(numbers) > os.cpu_count() else numbers[:1]
                rows = [result(*started) for started in [start([node], each, *project) for node in nodes]]
                rows = max(rows, key=lambda row: row[0]["step_ms"])
                alone.append(rows[0]["step_ms"])
                predicted.append(rows[1]["step_ms"])
                measured.append(run(numbers, each, *bench, "step", "--units", units, "--json")["step_ms"])
            one, guess, real = map(statistics.median, (alone, predicted, measured))
            spread = f"({min(measured):.1f} to {max(measured):.1f})"
            print(f"{delay:>7}{bandwidth:>11}{latency:6.0f} us{speed:5.0f} MB/s{one:8.1f} ms{guess:8.1f} ms{real:7.1f} ms "
                  f"{spread:18}{100 * (guess / real - 1):+6.1f} %", flush=True)


if __name__ == "__main__":
    places = [f"dimdist{number}" for number in range(1, argument(4, 2) + 1)]
    jobs = []
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    relay.remove(places)
    try:
        main(relay.make(places), places, argument(5, 1))
    finally:
        for job in jobs:
            job.terminate()  # mpirun ends its ranks
            job.wait()
        relay.remove(places)
