#!/usr/bin/python3
"""launch/kubernetes.yaml against the published schemas of what it holds, and against itself.

    Tests/Kubernetes/manifest.py

Then the same with a mistake in it, one at a time, each of which has to be refused. Needs python3-yaml and
python3-jsonschema. Prints a line a check.
"""
import json, pathlib, re, sys

import jsonschema, yaml

FOLDER = pathlib.Path(__file__).resolve().parent
MANIFEST = FOLDER.parent.parent / "launch/kubernetes.yaml"


class Loader(yaml.SafeLoader):
    """Refuses a key that is there twice, as the API server does."""

    def construct_mapping(self, node, deep=False):
        keys = [key.value for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.YAMLError(f"{key} is there twice, in line {node.start_mark.line + 1} and below")
        return super().construct_mapping(node, deep)


def read(text):
    """The objects of a manifest by their kind."""
    return {item["kind"]: item for item in yaml.load_all(text, Loader)}


def of_schema(objects):
    """What the schemas have against it."""
    schema = json.loads((FOLDER / "schema.json").read_text())
    for kind, item in objects.items():
        if kind not in schema["definitions"]:
            yield f"{kind}: no schema"
            continue
        validator = jsonschema.Draft7Validator({**schema, "$ref": f"#/definitions/{kind}"})
        for error in validator.iter_errors(item):
            yield f"{kind}.{'.'.join(map(str, error.absolute_path))}: {error.message[:200]}"


def of_itself(objects):
    """What one part has against another."""
    job = objects["MPIJob"]["spec"]
    launcher, worker = (job["mpiReplicaSpecs"][name]["template"]["spec"] for name in ("Launcher", "Worker"))
    main, ranks = launcher["containers"][0], worker["containers"][0]
    environment = {variable["name"]: variable["value"] for variable in main["env"]}
    arguments = main["args"][2:]
    slots = job["slotsPerWorker"] * job["mpiReplicaSpecs"]["Worker"]["replicas"]
    cores = job["slotsPerWorker"] * int(environment["OMP_NUM_THREADS"])
    run = arguments[arguments.index("--output") + 1]
    claim = objects["PersistentVolumeClaim"]
    sides = (("launcher", launcher), ("worker", worker))
    rules = {
        f"{arguments[0]} ranks, {slots} slots": int(arguments[0]) == slots,
        f"a worker needs {cores} cores": float(ranks["resources"]["limits"]["cpu"]) == cores,
        "the launcher doesn't resume": "--resume" in arguments,
        "a worker's preStop names another run": {"name": "RUN", "value": run} in ranks["env"],
        "the claim isn't for many nodes": claim["spec"]["accessModes"] == ["ReadWriteMany"],
        "another host file than mpi-operator's": environment["HOSTFILE"] == "/etc/mpi/hostfile",
        "readiness isn't of sshd's port": (
            ranks["readinessProbe"]["tcpSocket"]["port"] == ranks["ports"][0]["containerPort"]),
    }
    for name, pod in sides:
        container = pod["containers"][0]
        mounts = {mount["name"] for mount in container["volumeMounts"]}
        rules |= {
            f"{name}: requests aren't limits": container["resources"]["requests"] == container["resources"]["limits"],
            f"{name}: volumes aren't what is mounted": mounts == {volume["name"] for volume in pod["volumes"]},
            f"{name}: no such claim": {
                volume["persistentVolumeClaim"]["claimName"] for volume in pod["volumes"]
                if "persistentVolumeClaim" in volume} == {claim["metadata"]["name"]},
            f"{name}: may be root": pod["securityContext"]["runAsUser"] > 0 and pod["securityContext"]["runAsNonRoot"],
        }
    return (rule for rule, holds in rules.items() if not holds)


def findings(objects):
    return list(of_schema(objects)) or list(of_itself(objects))


# A change of the text, and what has to be said of it.
MISTAKES = [
    ("slotsPerWorker: 4 ", "slotPerWorker: 4 ", "'slotPerWorker' was unexpected"),
    ("volumeMounts:", "volumeMount:", "'volumeMount' was unexpected"),
    ("preStop:", "preStopp:", "'preStopp' was unexpected"),
    ("terminationGracePeriodSeconds: &grace", "gracePeriodSeconds: &grace", "'gracePeriodSeconds' was unexpected"),
    ("  restartPolicy: Never", "  restart: Never", "'restart' was unexpected"),
    ("replicas: 2", 'replicas: "2"', "'2' is not of type 'integer'"),
    ("backoffLimit: 20", "backoffLimit: -1", "-1 is less than the minimum of 0"),
    ('value: "1"', "value: 1", "1 is not of type 'string'"),
    ("runAsNonRoot: true", 'runAsNonRoot: "yes"', "'yes' is not of type 'boolean'"),
    ("mpiImplementation: OpenMPI", "mpiImplementation: OpenMpi", "'OpenMpi' is not one of"),
    ("WaitForWorkersReady", "WaitForWorkers", "'WaitForWorkers' is not one of"),
    ("cleanPodPolicy: Running ", "cleanPodPolicy: Runing ", "'Runing' is not one of"),
    ("memory: 8Gi", "memory: 8GB", "'8GB' is not valid"),
    ("Launcher:\n      replicas: 1", "Launcher:\n      replicas: 2", "1 was expected"),
    ("    Launcher:", "    Launchers:", "'Launchers' was unexpected"),
    ("kubeflow.org/v2beta1", "kubeflow.org/v1", "'kubeflow.org/v2beta1' was expected"),
    ("kind: PersistentVolumeClaim", "kind: PersistentVolume", "PersistentVolume: no schema"),
    ("slotsPerWorker: 4 ", "slotsPerWorker: 4\n  slotsPerWorker: 4 ", "slotsPerWorker is there twice"),
    ('- "8"', '- "6"', "6 ranks, 8 slots"),
    ('cpu: "4"', 'cpu: "2"', "a worker needs 4 cores"),
    ("value: *run", "value: /storage/runs/another", "a worker's preStop names another run"),
    ("limits: *size", "limits: *small", "a worker needs 4 cores"),
]


def main():
    text = MANIFEST.read_text()
    failures = findings(read(text))
    print(*failures or [f"ok      {MANIFEST.name}"], sep="\n")
    for before, after, expected in MISTAKES:
        name = re.sub(r"\s+", " ", after).strip()
        if before not in text:
            failures.append(name)
            print(f"FAILED  {name}: the manifest has no {before!r}")
            continue
        try:
            found = findings(read(text.replace(before, after, 1)))
        except yaml.YAMLError as error:
            found = [str(error)]
        if any(expected in line for line in found):
            print(f"refused {name}")
        else:
            failures.append(name)
            print(f"FAILED  {name}: {found or 'accepted'}, not {expected!r}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
