"""What every rule, script and profile must have."""

import ast
import re
import subprocess
import sys

import pytest
import yaml

RULE = re.compile(r"^( *)rule(?: (?P<name>\w+))?:\n(?P<body>(?:\1 {4}.*\n|\s*\n)+)", re.M)


# the rules that compute with a network
WITH_NETWORK = {
    "embed_images", "train_autoencoder", "encode_folds", "sweep_bottleneck", "sample_manifold", "audit_embedding",
    "transfer_encoder",
}  # fmt: skip


def rule_bodies(repository):
    for path in sorted((repository / "rules").glob("*.smk")):
        for match in RULE.finditer(path.read_text(encoding="utf-8")):
            body = match["body"]
            if "script:" in body:  # a rule without a script only gathers targets
                yield f"{path.name}:{match['name'] or 'by name'}", body


def scripts(repository):
    return sorted((repository / "workflow_scripts").rglob("*.py"))


def test_every_rule_has_log_benchmark_message_threads_resources_and_a_code_hash(repository):
    bodies = dict(rule_bodies(repository))
    assert len(bodies) == len(scripts(repository)), "one rule a script"
    for name, body in bodies.items():
        for directive in ("output", "params", "log", "benchmark", "message", "threads", "resources", "script"):
            assert re.search(rf"^\s+{directive}:", body, re.M), f"{name} has no {directive}"
        assert "mem_mb=" in body and "runtime=" in body, name
        hashed, run = re.search(r'code_of\("(.+?)"\)', body)[1], re.search(r'workflow_scripts/(.+?)"', body)[1]
        assert hashed == run, f"{name} hashes {hashed} but runs {run}"


def test_rules_that_compute_with_a_network_ask_for_a_gpu_and_no_other_does(repository):
    asking = {name.split(":")[1] for name, body in rule_bodies(repository) if re.search(r"^\s+gpu=GPUS,", body, re.M)}
    assert asking == WITH_NETWORK


def test_no_rule_script_or_library_module_names_a_dataset_or_source(repository):
    names = set(yaml.safe_load((repository / "config/datasets.yaml").read_text()))
    names |= set(yaml.safe_load((repository / "config/sources.yaml").read_text()))
    files = [p for folder in ("rules", "workflow_scripts") for p in (repository / folder).rglob("*.*")]
    files += [p for p in (repository / "matlas").rglob("*.py") if p.parent.name != "simulate"]
    for path in files:
        if path.suffix in (".py", ".smk"):
            code = path.read_text(encoding="utf-8")
            strings = {n.value for n in ast.walk(ast.parse(code)) if isinstance(n, ast.Constant)} if (
                path.suffix == ".py") else set(re.findall(r'"([^"]*)"', code))  # fmt: skip
            assert not names & strings, f"{path} names {names & strings}"


def test_every_script_imports_without_snakemake_and_is_short(repository):
    check = """
import importlib.util, sys
count, *paths = sys.argv[1:]
for number, path in enumerate(paths):
    if number == int(count):
        assert "torch" not in sys.modules, "only a job that computes with a network imports torch"
    spec = importlib.util.spec_from_file_location("script", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert callable(module.main), path
assert "snakemake" not in sys.modules
"""
    paths = sorted(scripts(repository), key=lambda path: path.stem in WITH_NETWORK)
    lean = sum(path.stem not in WITH_NETWORK for path in paths)
    command = [sys.executable, "-c", check, str(lean), *map(str, paths)]
    run = subprocess.run(command, capture_output=True, text=True, cwd=repository)
    assert run.returncode == 0, run.stderr
    for path in scripts(repository):
        assert len(path.read_text().splitlines()) <= 40, f"{path}: logic belongs in matlas/"


def test_the_library_never_imports_snakemake_or_torchvision(repository):
    for path in [*(repository / "matlas").rglob("*.py"), *(repository / "schemas").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else (
                [node.module or ""] if isinstance(node, ast.ImportFrom) else [])  # fmt: skip
            assert not {n.split(".")[0] for n in names} & {"snakemake", "torchvision"}, path


def test_the_lock_file_pins_every_direct_dependency_and_no_cuda_package(repository):
    lock = (repository / "requirements.lock").read_text().splitlines()
    pinned = {re.match(r"[A-Za-z0-9_.-]+", line)[0].lower() for line in lock if line and line[0] not in "# "}
    assert all("==" in line for line in lock if line.strip() and not line.startswith("#"))
    wanted = [line.split("#")[0].strip() for line in (repository / "requirements.in").read_text().splitlines()]
    for line in filter(None, wanted):
        assert re.match(r"[A-Za-z0-9_.-]+", line)[0].lower() in pinned, line
    assert "torch==2.13.0" in lock
    assert not [name for name in pinned if name.startswith(("nvidia", "cuda", "triton"))]


@pytest.mark.parametrize("profile", ["default"])
def test_a_profile_caps_the_local_gpus(repository, profile):
    settings = yaml.safe_load((repository / "profiles" / profile / "config.yaml").read_text())
    assert settings["resources"]["gpu"] == 1
    assert settings["rerun-incomplete"] is True
