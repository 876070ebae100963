"""What the project is made of: a bill of materials (SBOM), and an audit of licences and known vulnerabilities.

    python tools/supply_chain.py sbom dist/recdistill.cdx.json
    python tools/supply_chain.py audit

Both go by the lock files and by what the packages in this environment say of themselves, so they need no network. Known
vulnerabilities are looked up by pip-audit, which asks a service: where it is not installed or cannot be reached, the
audit says so in one line and ends with status 2; with status 1 where it found something.
"""

import json
import re
import subprocess
import sys
import tomllib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
LOCKS = ("requirements-torch.lock", "requirements.lock")
NAMESPACE = uuid.UUID("6ba7b811-9dad-11d1-80b4-00c04fd430c8")
"""Of addresses (RFC 9562), for the SBOM's own number: the same locks give the same SBOM."""
ALLOWED = frozenset(
    (
        *("0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0", "CNRI-Python", "ISC", "MIT"),
        *("MIT-CMU", "MPL-2.0", "PSF-2.0", "Python-2.0", "Unlicense", "Zlib", "LLVM-exception"),
    )
)
"""SPDX names of licences that an Apache-2.0 project may depend on without another word."""
SPDX = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache 2.0 License": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD-3-Clause",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}
"""What packages write in place of SPDX names."""


@dataclass(frozen=True)
class Component:
    """A package of the lock files.

    Attributes:
        name: as the lock has it.
        version: the pinned one.
        licence: an expression of SPDX names, as far as the package's metadata tells; empty: it does not.
        hashes: sha256 of the files that the lock allows.
    """

    name: str
    version: str
    licence: str
    hashes: tuple[str, ...]


def components(root: Path = ROOT) -> list[Component]:
    """The packages of the lock files, in their order."""
    text = "\n".join((root / name).read_text(encoding="utf-8") for name in LOCKS)
    found = re.finditer(r"^([A-Za-z0-9_.-]+)==([^ \\\n]+)((?: \\\n +--hash=sha256:[0-9a-f]{64})*)", text, re.MULTILINE)
    return [Component(one[1], one[2], licence(one[1]), tuple(re.findall(r"[0-9a-f]{64}", one[3]))) for one in found]


def licence(name: str) -> str:
    """A package's licence, by its own metadata."""
    try:
        about: Any = metadata(name)
    except PackageNotFoundError:
        return ""
    if expression := about.get("License-Expression"):
        return str(expression)
    classifiers = [one.split(" :: ")[-1] for one in about.get_all("Classifier") or [] if one.startswith("License ::")]
    said = classifiers or [(about.get("License") or "").strip().partition("\n")[0]]
    return " AND ".join(SPDX.get(one, one) for one in said if one)


def not_allowed(expression: str) -> list[str]:
    """Names in a licence's expression that are not on the list; of an `OR` one that is is enough."""
    names = [one for one in re.split(r"\s+AND\s+|[()]", expression) if one.strip()]
    wrong = []
    for name in names:
        choices = [one.strip() for one in name.split(" OR ")]
        if not any(all(part in ALLOWED for part in choice.split(" WITH ")) for choice in choices):
            wrong.append(name.strip())
    return wrong or ([] if names else ["nothing"])


def sbom(found: Sequence[Component], root: Path = ROOT) -> dict[str, object]:
    """The bill of materials, as CycloneDX 1.6 has it."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    locks = "\n".join((root / name).read_text(encoding="utf-8") for name in LOCKS)
    own = {
        "type": "application",
        "bom-ref": "recdistill",
        "name": project["name"],
        "version": _version(root),
        "licenses": [{"expression": project["license"]}],
    }
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(NAMESPACE, locks)}",
        "version": 1,
        "metadata": {"component": own},
        "components": [_component(one) for one in found],
        "dependencies": [{"ref": "recdistill", "dependsOn": [_purl(one) for one in found]}],
    }


def _version(root: Path) -> str:
    text = (root / "src" / "recdistill" / "version.py").read_text(encoding="utf-8")
    return re.findall(r'"([^"]+)"$', text.strip())[0]


def _purl(one: Component) -> str:
    return f"pkg:pypi/{re.sub(r'[-_.]+', '-', one.name).lower()}@{one.version}"


def _component(one: Component) -> dict[str, object]:
    properties = [{"name": "recdistill:locked-file:sha256", "value": digest} for digest in one.hashes]
    return {
        "type": "library",
        "bom-ref": _purl(one),
        "name": one.name,
        "version": one.version,
        "purl": _purl(one),
        **({"licenses": [{"expression": one.licence}]} if one.licence and not not_allowed(one.licence) else {}),
        **({"properties": properties} if properties else {}),
    }


def audit(found: Sequence[Component]) -> int:
    """Look at licences and known vulnerabilities, and tell.

    Returns:
        0; 1 where a licence is not on the list or a vulnerability is known; 2 where none could be looked up.
    """
    wrong = [(one, not_allowed(one.licence)) for one in found]
    wrong = [(one, names) for one, names in wrong if names]
    for one, names in wrong:
        sys.stdout.write(f"{one.name} {one.version}: licence {' and '.join(names)} is not on the list\n")
    sys.stdout.write(f"licences: {len(found) - len(wrong)} of {len(found)} packages are in order\n")
    vulnerable = known_vulnerabilities()
    return 1 if wrong else vulnerable


def known_vulnerabilities() -> int:
    """Let pip-audit look the lock's packages up; see :func:`audit`."""
    if find_spec("pip_audit") is None:
        sys.stderr.write("audit: known vulnerabilities were not looked up: pip install pip-audit\n")
        return 2
    command = [sys.executable, "-m", "pip_audit", "--disable-pip", "--no-deps", "--progress-spinner=off"]
    done = subprocess.run(
        [*command, *(word for name in LOCKS for word in ("--requirement", str(ROOT / name)))],
        capture_output=True,
        text=True,
        check=False,
    )
    sys.stdout.write(done.stdout)
    if done.returncode == 0:
        sys.stdout.write("vulnerabilities: none is known\n")
        return 0
    if "vulnerabilit" in done.stderr:
        sys.stdout.write(done.stderr)
        return 1
    last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
    sys.stderr.write(f"audit: known vulnerabilities were not looked up: {last}\n")
    return 2


def main() -> None:
    """Run one of the two."""
    match sys.argv[1:]:
        case ["sbom", path]:
            text = json.dumps(sbom(components()), indent=2, ensure_ascii=False) + "\n"
            Path(path).write_text(text, encoding="utf-8")
        case ["audit"]:
            sys.exit(audit(components()))
        case _:
            sys.exit((__doc__ or "").strip())


if __name__ == "__main__":
    main()
