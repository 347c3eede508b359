"""Lists the crates that are linked into the function: `python3 .ci/sbom.py TARGET > drift-router.cdx.json`, in the format CycloneDX.

`cargo tree` knows them. cargo-cyclonedx does not: it also lists what only the tests turn on.
"""

import json
import subprocess
import sys
import tomllib


def cargo(*arguments):
    return subprocess.run(["cargo", *arguments], check=True, capture_output=True, text=True).stdout


def sbom(target):
    tree = cargo("tree", "--locked", "--target", target, "--edges", "normal,no-proc-macro", "--prefix", "none", "--format", "{p}")
    # Each line begins with a name and a version, such as `bytes v1.11.0`.
    linked = {(name, version[1:]) for name, version, *_ in map(str.split, filter(None, tree.splitlines()))}
    metadata = json.loads(cargo("metadata", "--locked", "--filter-platform", target, "--format-version", "1"))
    packages = {p["id"]: p for p in metadata["packages"] if (p["name"], p["version"]) in linked}
    assert len(packages) == len(linked), "two packages have one name and version"
    with open("Cargo.lock", "rb") as lock:
        checksums = {(p["name"], p["version"]): p.get("checksum") for p in tomllib.load(lock)["package"]}

    def reference(package):
        return f"pkg:cargo/{package['name']}@{package['version']}"

    def component(package):
        found = {"type": "library", "bom-ref": reference(package), "name": package["name"], "version": package["version"]}
        # An older way to write OR.
        found["licenses"] = [{"expression": " ".join(package["license"].replace("/", " OR ").split())}]
        checksum = checksums[package["name"], package["version"]]
        if checksum:
            found["hashes"] = [{"alg": "SHA-256", "content": checksum}]
        return found | {"purl": reference(package)}

    def needed(node):
        kinds = {d["pkg"]: [kind["kind"] for kind in d["dep_kinds"]] for d in node["deps"]}
        return sorted(reference(packages[i]) for i, of_kind in kinds.items() if i in packages and None in of_kind)

    in_order = sorted(packages.values(), key=reference)
    (function,) = [package for package in in_order if package["name"] == "drift-router"]
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": component(function) | {"type": "application"},
            "properties": [{"name": "target", "value": target}],
        },
        "components": [component(package) for package in in_order if package is not function],
        "dependencies": [{"ref": reference(p), "dependsOn": needed(nodes[p["id"]])} for p in in_order],
    }


if __name__ == "__main__":
    json.dump(sbom(sys.argv[1]), sys.stdout, indent=1)
    print()
