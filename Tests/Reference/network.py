"""Steps over a network with shaped delay and bandwidth, beside what `bench project` predicts for it.

    sudo python3 Tests/Reference/network.py [PATH_OF_dim-dist] [UNITS]

Makes two network namespaces on this machine, each a node with a core of its own, joined by a link that `tc netem` delays
and limits, and removes them afterwards. Needs root, iproute2 and a kernel with network namespaces. For each network:
the step of one node alone, its projection to two, the measured step on two, and the error of the projection.
"""
import json, os, statistics, subprocess, sys, tempfile

NETWORKS = [("50us", "10gbit"), ("200us", "1gbit"), ("1ms", "1gbit"), ("200us", "200mbit")]  # one way
PLACES = ["dimdist1", "dimdist2"]
ROUNDS = 3


def shell(command, check=True):
    done = subprocess.run(command, shell=True, capture_output=True, text=True)
    if check and done.returncode:
        sys.exit(f"{command}: {done.stderr.strip()} (this needs root, and a kernel with CONFIG_NET_SCH_NETEM)")
    return done.stdout


def make():
    for place in PLACES:
        shell(f"ip netns add {place}")
    shell(f"ip link add dimdist-a netns {PLACES[0]} type veth peer name dimdist-a netns {PLACES[1]}")
    for number, place in enumerate(PLACES, 1):
        shell(f"ip -n {place} addr add 10.213.0.{number}/24 dev dimdist-a")
        for device in ("dimdist-a", "lo"):
            shell(f"ip -n {place} link set {device} up")


def shape(delay, rate):
    for place in PLACES:
        shell(f"tc -n {place} qdisc replace dev dimdist-a root netem delay {delay} rate {rate} limit 100000")


def remove():
    for place in PLACES:
        shell(f"ip netns del {place}", check=False)


def main():
    program = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else ".build/release/dim-dist")
    units = sys.argv[2] if len(sys.argv) > 2 else "512"
    environment = dict(
        os.environ, OMP_NUM_THREADS="1", OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
    with tempfile.TemporaryDirectory() as folder:
        agent, wrapper = f"{folder}/agent", f"{folder}/wrapper"
        with open(agent, "w") as file:  # what mpirun starts its daemons with, in the place of ssh
            file.write('#!/bin/bash\nplace=dimdist${1##*.}\nshift\n'
                       'exec ip netns exec "$place" unshare --uts bash -c "hostname $place; $*"\n')
        with open(wrapper, "w") as file:  # a core for each node
            file.write('#!/bin/bash\nexec taskset -c "$OMPI_COMM_WORLD_RANK" "$@"\n')
        os.chmod(agent, 0o755)
        os.chmod(wrapper, 0o755)

        def run(ranks, arguments):
            hosts = ",".join(f"10.213.0.{number}" for number in range(1, ranks + 1))
            command = [
                "ip", "netns", "exec", PLACES[0], "unshare", "--uts", "bash", "-c",
                f'hostname {PLACES[0]}; exec "$0" "$@"', "mpirun", "-np", str(ranks), "--host", hosts, "--bind-to",
                "none", "--map-by", "node", "--mca", "plm_rsh_agent", agent, "--mca", "btl", "tcp,self", "--mca",
                "btl_tcp_if_include", "10.213.0.0/24", "--mca", "oob_tcp_if_include", "10.213.0.0/24", "-x",
                "OMP_NUM_THREADS", wrapper, program, "bench", *arguments, "--units", units, "--json"]
            done = subprocess.run(command, env=environment, capture_output=True, text=True)
            if done.returncode:
                sys.exit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
            return json.loads([line for line in done.stdout.splitlines() if line[:1] in "[{"][-1])

        print("  delay     rate   one node  predicted  measured (range)              error")
        for delay, rate in NETWORKS:
            shape(delay, rate)
            bits = {"gbit": "Gb", "mbit": "Mb"}
            bandwidth = rate[:-4] + bits[rate[-4:]]
            alone, predicted, measured = [], [], []
            for _ in range(ROUNDS):
                rows = run(1, ["project", "--nodes", "2", "--bandwidth", bandwidth, "--latency", delay])
                alone.append(rows[0]["step_ms"])
                predicted.append(rows[1]["step_ms"])
                measured.append(run(2, ["step"])["step_ms"])
            one, guess, real = map(statistics.median, (alone, predicted, measured))
            spread = f"({min(measured):.1f} to {max(measured):.1f})"
            print(f"{delay:>7}{rate:>9}{one:8.1f} ms{guess:8.1f} ms{real:7.1f} ms "
                  f"{spread:18}{100 * (guess / real - 1):+6.1f} %", flush=True)


if __name__ == "__main__":
    remove()
    make()
    try:
        main()
    finally:
        remove()
