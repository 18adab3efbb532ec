"""Pods without Kubernetes: namespaces of processes, mounts, host name and network around one container each.

Their files are the image with a layer of their own. Not here: limits of time and memory, and the seccomp profile. Has
to run where its mounts, devices and processes end with it: in namespaces of mounts, processes and network of its own.
"""
import os, pathlib, re, shlex, signal, subprocess, sys, time

from image import run
from chroot import DEVICES

NETWORK = "10.213.0"


class Cluster:
    """What pods share: an image, a network, names, and claims, which are folders here."""

    def __init__(self, image, description, claims, work):
        self.image, self.description, self.claims, self.work = image, description, claims, work
        self.hosts, self.addresses = work / "hosts", {}
        work.mkdir()
        self.name_hosts()
        run("ip", "link", "add", "pods", "type", "bridge")
        run("ip", "address", "add", f"{NETWORK}.1/24", "dev", "pods")
        for device in ("lo", "pods"):
            run("ip", "link", "set", device, "up")

    def name_hosts(self):
        """Names of the pods that are there, as the cluster's name service has them."""
        lines = [f"{address} {name}.{subdomain}.default.svc {name}"
                 for (name, subdomain), address in self.addresses.items()]
        self.hosts.write_text("\n".join(["127.0.0.1 localhost", *lines, ""]))


class Pod:
    """A pod of a template, as mpi-operator makes it. Its container runs from start() on."""

    count = 1

    def __init__(self, cluster, name, template, subdomain, added, environment):
        Pod.count += 1
        self.cluster, self.name, self.template = cluster, name, template
        self.container = template["containers"][0]
        self.key, self.address = (name, subdomain), f"{NETWORK}.{Pod.count}"
        self.folder = cluster.work / f"{name}-{Pod.count}"
        self.environment = dict(cluster.description["environment"], HOME="/home/dim", HOSTNAME=name)
        for variable in self.container.get("env", []):
            self.environment[variable["name"]] = self.expand(variable["value"])
        self.environment |= environment
        self.added = added  # folders by where mpi-operator mounts them
        self.log = self.folder / "log"
        self.process = None

    def expand(self, text):
        """$(NAME) is a variable of the container, where it has one."""
        return re.sub(r"\$\(([A-Za-z_][A-Za-z0-9_]*)\)", lambda m: self.environment.get(m[1], m[0]), text)

    def start(self):
        """Starts the container's process as the user that the template says, without any privilege."""
        layer, root = self.folder / "layer", self.folder / "root"
        for folder in (layer / "upper", layer / "work", root):
            folder.mkdir(parents=True)
        network = f"pod{Pod.count}"
        run("ip", "netns", "add", network)
        run("ip", "link", "add", network, "type", "veth", "peer", "name", "eth0", "netns", network)
        run("ip", "link", "set", network, "master", "pods", "up")
        run("ip", "-n", network, "address", "add", f"{self.address}/24", "dev", "eth0")
        for device in ("lo", "eth0"):
            run("ip", "-n", network, "link", "set", device, "up")
        self.cluster.addresses[self.key] = self.address
        self.cluster.name_hosts()

        command = [self.expand(word) for word in self.container["command"] + self.container.get("args", [])]
        layers = f"lowerdir={self.cluster.image},upperdir={layer}/upper,workdir={layer}/work"
        script = "\n".join([
            "set -e",
            f"mount -t overlay -o {layers} overlay {root}",
            f"mount -t proc proc {root}/proc",
            f"mount -t sysfs -o ro sysfs {root}/sys",
            f"mount -t tmpfs -o mode=755 tmpfs {root}/dev",
            f"mkdir {root}/dev/shm",
            f"ln -s /proc/self/fd {root}/dev/fd",
            *(f"touch {root}/dev/{name} && mount --bind /dev/{name} {root}/dev/{name}" for name in DEVICES),
            f"touch {root}/etc/hosts && mount --bind {self.cluster.hosts} {root}/etc/hosts",
            f"rm -f {root}/etc/resolv.conf",
            *(f"mkdir -p {root}{path} && {command} {root}{path}" for path, command in self.mounts()),
            f"hostname {self.name}",
            shlex.join(["exec", "chroot", str(root), *self.as_user(), *command]),
        ])
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(
                ["nsenter", f"--net=/run/netns/{network}", "unshare", "--mount", "--uts", "--ipc", "--pid", "--fork",
                 "--kill-child", "/bin/bash", "-c", script], stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def as_user(self):
        """What runs a command as the container's user, with its environment."""
        user, own = self.template["securityContext"], self.container["securityContext"]
        if own["capabilities"] != {"drop": ["ALL"]} or own["allowPrivilegeEscalation"]:
            sys.exit(f"{self.name}: pods of this test have no privileges, and {own} asks for some")
        return ["setpriv", f"--reuid={user['runAsUser']}", f"--regid={user['runAsGroup']}",
                f"--groups={user['fsGroup']}", "--inh-caps=-all", "--bounding-set=-all", "--no-new-privs",
                "env", "-i", *(f"{name}={value}" for name, value in self.environment.items())]

    def mounts(self):
        """(path, mount command without it) of the template's volumes and of those that mpi-operator adds."""
        volumes = {volume["name"]: volume for volume in self.template["volumes"]}
        for mount in self.container["volumeMounts"]:
            volume = volumes[mount["name"]]
            if "emptyDir" in volume:
                size = volume["emptyDir"]["sizeLimit"].removesuffix("i")
                yield mount["mountPath"], f"mount -t tmpfs -o size={size},mode=1777 tmpfs"
            else:
                folder = self.cluster.claims[volume["persistentVolumeClaim"]["claimName"]]
                yield mount["mountPath"], f"mount --rbind {folder}"
        for path, folder in self.added.items():
            yield path, f"mount --bind {folder}"

    @property
    def first_process(self):
        """The container's process 1, by its number here."""
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return int(children[0]) if children else None

    def execute(self, command, timeout):
        """Runs a command in the container, as `kubectl exec` and hooks do, for so many seconds at most."""
        spaces = ("mount", "uts", "ipc", "net", "pid", "root", "wd")
        enter = ["nsenter", f"--target={self.first_process}", *(f"--{space}" for space in spaces)]
        with open(self.log, "a") as log:
            subprocess.run(
                [*enter, *self.as_user(), *command], stdin=subprocess.DEVNULL, stdout=log, stderr=log, timeout=timeout)

    def signal(self, number):
        if self.process.poll() is None and self.first_process:
            os.kill(self.first_process, number)

    def wait(self, seconds):
        """The exit status of the container, which has to end within so many seconds."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} didn't end within {seconds} s") from None

    def terminate(self):
        """As the kubelet ends a pod: its preStop, then SIGTERM, and SIGKILL when the grace period is over. Returns the
        seconds that it took."""
        began, grace = time.monotonic(), self.template["terminationGracePeriodSeconds"]
        hook = self.container.get("lifecycle", {}).get("preStop")
        try:
            if hook and self.process.poll() is None:
                self.execute(hook["exec"]["command"], timeout=grace)
            self.signal(signal.SIGTERM)
            self.process.wait(max(1, grace - (time.monotonic() - began)))
        except subprocess.TimeoutExpired:
            self.signal(signal.SIGKILL)
            self.process.wait()
        self.forget()
        return time.monotonic() - began

    def forget(self):
        """The name of a pod that is gone leads nowhere."""
        if self.cluster.addresses.get(self.key) == self.address:
            del self.cluster.addresses[self.key]
            self.cluster.name_hosts()

