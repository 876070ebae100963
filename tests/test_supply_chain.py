"""What is installed is named by version and checksum, and what it is made of can be told."""

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
HASHED = ("requirements.lock", "requirements-serve.lock", "requirements-docs.lock")


def tool(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # A dataclass looks its own module up by name.
    __import__("sys").modules[name] = module
    spec.loader.exec_module(module)
    return module


chain, locks = tool("supply_chain"), tool("lock_hashes")


@pytest.mark.parametrize("name", HASHED)
def test_every_package_of_a_lock_has_its_version_and_hashes(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    entries = re.sub(r" \\\n +", " ", text).splitlines()
    for line in (line for line in entries if not line.startswith("#")):
        assert re.fullmatch(r"[A-Za-z0-9_.-]+==[^ ]+( --hash=sha256:[0-9a-f]{64})+", line)
    assert not re.search(r"^torch==", text, re.MULTILINE), "torch's builds have files of their own"


def test_no_lock_names_an_index_or_a_place() -> None:
    for path in ROOT.glob("requirements*.lock"):
        assert not re.search(r"index|https?:|file:|find-links|trusted|@ ", _without_comments(path)), path.name


def test_torch_alone_has_no_hash_and_its_file_says_why() -> None:
    text = (ROOT / "requirements-torch.lock").read_text(encoding="utf-8")
    assert re.findall(r"^[^#\n].*$", text, re.MULTILINE) == [re.findall(r"^torch==\S+$", text, re.MULTILINE)[0]]
    assert "builds" in text


def test_what_is_installed_by_make_is_compared_with_its_hash() -> None:
    makefile, docker = ((ROOT / name).read_text(encoding="utf-8") for name in ("Makefile", "Dockerfile"))
    assert re.search(r"^PIP_INSTALL := .* --no-deps\b", makefile, re.MULTILINE)
    assert "$(PIP_INSTALL) --require-hashes -r requirements.lock" in makefile
    assert "$(PIP_INSTALL) --require-hashes -r requirements-docs.lock" in makefile
    assert "--require-hashes -r /build/requirements-serve.lock" in docker


def test_pins_are_read_with_hashes_and_without(tmp_path: Path) -> None:
    (tmp_path / "a.lock").write_text(f"# why\na==1 \\\n    --hash=sha256:{'0' * 64}\nb_c==2.0+x\n")
    assert locks.pins(tmp_path / "a.lock") == (["# why"], ["a==1", "b_c==2.0+x"])


def test_the_bill_of_materials_names_every_package_and_is_the_same_each_time() -> None:
    found = chain.components()
    bill = chain.sbom(found)
    assert bill == chain.sbom(chain.components())
    assert json.loads(json.dumps(bill)) == bill
    assert (bill["bomFormat"], bill["specVersion"], bill["version"]) == ("CycloneDX", "1.6", 1)
    assert re.fullmatch(r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", bill["serialNumber"])
    pinned = {name for file in chain.LOCKS for name in locks.pins(ROOT / file)[1]}
    assert {f"{one['name']}=={one['version']}" for one in bill["components"]} == pinned
    refs = [one["bom-ref"] for one in bill["components"]]
    assert len(set(refs)) == len(refs)
    assert all(re.fullmatch(r"pkg:pypi/[a-z0-9-]+@\S+", ref) for ref in refs)
    assert bill["dependencies"] == [{"ref": "recdistill", "dependsOn": refs}]
    assert bill["metadata"]["component"]["licenses"] == [{"expression": "Apache-2.0"}]
    hashed = [one for one in bill["components"] if one["name"] != "torch"]
    assert all(one["properties"] for one in hashed)


def test_every_licence_is_on_the_list() -> None:
    assert [(one.name, one.licence) for one in chain.components() if chain.not_allowed(one.licence)] == []


@pytest.mark.parametrize(
    ("expression", "wrong"),
    [
        ("MIT", []),
        ("MIT AND Apache-2.0 WITH LLVM-exception", []),
        ("GPL-3.0-only OR MIT", []),
        ("MPL-2.0 AND (Apache-2.0 OR MIT)", []),
        ("GPL-3.0-only", ["GPL-3.0-only"]),
        ("MIT AND AGPL-3.0-only", ["AGPL-3.0-only"]),
        ("", ["nothing"]),
    ],
)
def test_a_licence_that_is_not_on_the_list_is_named(expression: str, wrong: list[str]) -> None:
    assert chain.not_allowed(expression) == wrong


def test_without_pip_audit_the_audit_says_so_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(chain, "find_spec", lambda name: None)
    assert chain.audit([chain.Component("a", "1", "MIT", ())]) == 2
    told = capsys.readouterr()
    assert told.out == "licences: 1 of 1 packages are in order\n"
    assert told.err == "audit: known vulnerabilities were not looked up: pip install pip-audit\n"
    assert chain.audit([chain.Component("a", "1", "GPL-3.0-only", ())]) == 1
    assert capsys.readouterr().out.startswith("a 1: licence GPL-3.0-only is not on the list\nlicences: 0 of 1")


def _without_comments(path: Path) -> str:
    return re.sub(r"^#.*$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
