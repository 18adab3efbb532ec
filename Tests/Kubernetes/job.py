"""The MPIJob of launch/kubernetes.yaml, run in pods of this machine, with pods taken away from it.

    Tests/container

What mpi-operator adds to its pods is here: the key, the host file, the variables, names for all pods. The Job that
starts launchers again is the test itself.
"""
import collections, ctypes, json, os, pathlib, shutil, signal, socket, subprocess, sys, time

import manifest
from image import build
from chroot import run
from pods import Cluster, Pod

WORK = pathlib.Path("/run/dim-dist")  # in this test's own mounts
DATA = pathlib.Path("/usr/share/datasets/fashion-mnist")
STEPS = 240
PATIENCE = 120  # seconds that anything may take


class Job:
    def __init__(self, objects, cluster):
        self.name = objects["MPIJob"]["metadata"]["name"]
        self.spec, self.cluster = objects["MPIJob"]["spec"], cluster
        self.secret, self.config = cluster.work / "secret", cluster.work / "config"
        self.secret.mkdir()
        self.config.mkdir()
        run("ssh-keygen", "-q", "-t", "ecdsa", "-b", "521", "-m", "PEM", "-N", "", "-f", self.secret / "id_rsa")
        shutil.copy(self.secret / "id_rsa.pub", self.secret / "authorized_keys")
        for file in self.secret.iterdir():
            file.chmod(0o644)  # a secret's mode where .ssh isn't root's
        slots, self.replicas = self.spec["slotsPerWorker"], self.spec["mpiReplicaSpecs"]["Worker"]["replicas"]
        self.workers = [f"{self.name}-worker-{index}" for index in range(self.replicas)]
        (self.config / "hostfile").write_text(
            "".join(f"{name}.{self.name}.default.svc slots={slots}\n" for name in self.workers))
        self.variables = {
            "K_MPI_JOB_ROLE": "launcher", "OMPI_MCA_orte_keep_fqdn_hostnames": "true",
            "OMPI_MCA_orte_default_hostfile": "/etc/mpi/hostfile",
            "OMPI_MCA_plm_rsh_args": "-o ConnectionAttempts=10", "OMPI_MCA_orte_set_default_slots": str(slots)}

    def worker(self, name):
        template = self.spec["mpiReplicaSpecs"]["Worker"]["template"]["spec"]
        added = {self.spec["sshAuthMountPath"]: self.secret}
        pod = Pod(self.cluster, name, template, self.name, added, {"K_MPI_JOB_ROLE": "worker"})
        pod.start()
        return pod

    def launcher(self, arguments=None):
        template = self.spec["mpiReplicaSpecs"]["Launcher"]["template"]["spec"]
        if arguments:
            template = json.loads(json.dumps(template))
            template["containers"][0]["args"][2:] = arguments
        added = {self.spec["sshAuthMountPath"]: self.secret, "/etc/mpi": self.config}
        pod = Pod(self.cluster, f"{self.name}-launcher", template, self.name, added, self.variables)
        pod.start()
        return pod


def until(what, condition, pod=None):
    """Waits for a condition. Meanwhile the pod, if one is given, has to go on."""
    end = time.monotonic() + PATIENCE
    while not condition():
        if pod and pod.process.poll() is not None:
            raise AssertionError(f"{what}: {pod.name} ended before, with exit status {pod.process.returncode}")
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {PATIENCE} s")
        time.sleep(0.1)


def is_ready(pod):
    """What the worker's readiness probe asks."""
    port = pod.container["readinessProbe"]["tcpSocket"]["port"]
    try:
        socket.create_connection((pod.address, port), timeout=1).close()
        return True
    except OSError:
        return False


def ranks(pod):
    """Numbers here of the ranks in a pod."""
    namespace = os.readlink(f"/proc/{pod.first_process}/ns/pid")
    found = []
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if (process / "comm").read_text() == "dim-dist\n" and os.readlink(process / "ns/pid") == namespace:
                found.append(int(process.name))
        except OSError:
            continue  # it has ended
    return found


class Run:
    """The run directory, as all pods see it."""

    def __init__(self, folder):
        self.folder = folder

    def steps(self):
        file = self.folder / "metrics.jsonl"
        lines = file.read_text().splitlines() if file.exists() else []
        return [json.loads(line)["step"] for line in lines if line.endswith("}") and '"step"' in line]

    def checkpoint(self):
        return max((int(path.name[5:]) for path in (self.folder / "checkpoints").glob("step-*")), default=0)


def adapt(objects):
    """The manifest for this machine, as anybody would change it: two workers of one rank, and few steps."""
    job = objects["MPIJob"]["spec"]
    job["slotsPerWorker"] = 1
    job["mpiReplicaSpecs"]["Worker"]["replicas"] = 2
    arguments = job["mpiReplicaSpecs"]["Launcher"]["template"]["spec"]["containers"][0]["args"]
    arguments[2] = "2"
    for name, value in (("--steps", str(STEPS)), ("--batch", "128")):
        arguments[arguments.index(name) + 1] = value
    arguments += ["--set", "checkpoint.every=20"]
    return arguments[arguments.index("--output") + 1]


def scenario(job, directory, say):
    workers = {name: job.worker(name) for name in job.workers}
    for pod in workers.values():
        until(f"readiness of {pod.name}", lambda: is_ready(pod), pod)
    say(f"{len(workers)} workers are ready, as user {pod.template['securityContext']['runAsUser']}, by their own sshd")

    doctor = job.launcher([str(len(workers)), "doctor"])
    doctor.wait(PATIENCE)
    report = doctor.log.read_text()
    for line in report.splitlines():
        say(f"  {line}")
    for subject in ("mpi", "slots", "binding", "shared memory", "single copy", "blas kernel"):
        assert any(line.startswith(subject) and " ok, " in line for line in report.splitlines()), f"doctor on {subject}"
    assert f"{len(workers)} ranks on {len(workers)} hosts" in report, "doctor saw other hosts"
    doctor.forget()

    launcher = job.launcher()
    until("steps", lambda: len(directory.steps()) >= 30, launcher)
    for pod in workers.values():
        assert len(ranks(pod)) == 1, f"{pod.name} has {len(ranks(pod))} ranks"
    drained = workers[job.workers[1]]
    seconds = drained.terminate()
    status = launcher.wait(PATIENCE)
    launcher.forget()
    first = directory.checkpoint()
    assert (status, first) == (75, directory.steps()[-1]), f"status {status}, checkpoint {first}"
    say(f"worker drained: {seconds:.1f} s, launcher exits with 75, checkpoint at step {first}, the last made")

    launcher = job.launcher()
    time.sleep(8)
    assert launcher.process.poll() is None and directory.steps()[-1] == first, "the launcher didn't wait for its worker"
    workers[drained.name] = job.worker(drained.name)
    until("steps again", lambda: directory.steps()[-1] >= first + 30, launcher)
    seconds = launcher.terminate()
    status, second = launcher.process.returncode, directory.checkpoint()
    assert (status, second) == (75, directory.steps()[-1]), f"status {status}, checkpoint {second}"
    assert not any(ranks(pod) for pod in workers.values()), "ranks outlived their launcher"
    say(f"next launcher waited for the worker and went on; evicted: {seconds:.1f} s, 75, checkpoint at step {second}")

    def kill(what, process, after):
        launcher = job.launcher()
        until("steps again", lambda: directory.steps()[-1] >= after + 30, launcher)
        began = time.monotonic()
        os.kill(process(), signal.SIGKILL)
        status = launcher.wait(PATIENCE)
        seconds = time.monotonic() - began
        launcher.forget()
        assert status not in (0, 75) and seconds < 10, f"{what}: status {status} after {seconds:.1f} s"
        step = directory.checkpoint()
        say(f"{what}: {seconds:.1f} s, launcher exits with {status}, newest checkpoint at step {step}")
        return step

    alive, other = (workers[name] for name in job.workers)
    third = kill("a rank killed with -9", lambda: ranks(alive)[0], second)
    kill("a worker's container killed, as for want of memory", lambda: other.first_process, third)
    other.forget()
    job.worker(other.name)
    launcher = job.launcher()
    status = launcher.wait(PATIENCE)
    assert status == 0, f"the last launcher ended with {status}"
    counts = collections.Counter(directory.steps())
    assert directory.checkpoint() == STEPS and counts == collections.Counter(range(1, STEPS + 1)), "steps are missing"
    say(f"last launcher finished: exit status 0, steps 1 to {STEPS}, each once")


def main(work):
    image = work / "image"
    if "--no-build" not in sys.argv:
        image = build(work)
        size = subprocess.run(["du", "-sxh", image], capture_output=True, text=True).stdout.split()[0]
        print(f"ok      {image} ({size})", flush=True)
    description = json.loads((work / "image.json").read_text())
    objects = manifest.read(manifest.MANIFEST.read_text())
    output = adapt(objects)
    for name, replica in objects["MPIJob"]["spec"]["mpiReplicaSpecs"].items():
        user = str(replica["template"]["spec"]["securityContext"]["runAsUser"])
        if user != description["user"]:
            sys.exit(f"FAILED  {name} runs as user {user}, and the image's user is {description['user']}")
    run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")
    if ctypes.CDLL(None, use_errno=True).unshare(0x40000000):  # CLONE_NEWNET
        sys.exit(f"Tests/container: no network of its own: {os.strerror(ctypes.get_errno())}")
    WORK.mkdir()
    claim = WORK / "claim"
    (claim / "data").mkdir(parents=True)
    (claim / "runs").mkdir()
    os.chown(claim / "runs", 1000, 1000)
    run("mount", "--bind", "-o", "ro", DATA, claim / "data")
    cluster = Cluster(image, description, {objects["PersistentVolumeClaim"]["metadata"]["name"]: claim}, WORK / "pods")
    job = Job(objects, cluster)
    try:
        scenario(job, Run(claim / output.removeprefix("/storage/")), lambda text: print(f"ok      {text}", flush=True))
    except AssertionError as problem:
        for log in sorted(cluster.work.glob("*/log")):
            print(f"--- {log.parent.name}\n{log.read_text()[-3000:]}")
        sys.exit(f"FAILED  {problem}")


if __name__ == "__main__":
    os.umask(0o022)
    main(pathlib.Path(sys.argv[1]))
