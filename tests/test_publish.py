"""The workflow that publishes the pages names what exists, and may do no more than it must."""

import re
import subprocess
from pathlib import Path
from typing import Any

import yaml

from shapebook.pages import rendering
from shapebook.run import app

ROOT = Path(__file__).parent.parent
FILE = ROOT / ".github" / "workflows" / "publish.yml"
WORKFLOW: dict[Any, Any] = yaml.safe_load(FILE.read_text())
STEPS = {name: job["steps"] for name, job in WORKFLOW["jobs"].items()}
RUNS = [step["run"] for steps in STEPS.values() for step in steps if "run" in step]


def test_it_runs_what_exists():
    targets = [each for command in RUNS for each in re.findall(r"\bmake (\w+)", command)]
    done = subprocess.run(
        ["make", "-n", *targets], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert ".ci/run" in RUNS
    assert "make html" in RUNS
    assert RUNS.index(".ci/run") < RUNS.index("make html")
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111


def test_it_publishes_what_make_html_writes():
    uploads = [s for s in STEPS["test"] if s.get("uses", "").startswith("actions/upload-pages")]
    assert [Path(upload["with"]["path"]) for upload in uploads] == [rendering.HTML]


def test_it_may_do_no_more_than_it_must():
    assert WORKFLOW["permissions"] == {"contents": "read"}
    jobs = WORKFLOW["jobs"]
    assert "permissions" not in jobs["test"]
    assert jobs["publish"]["permissions"] == {"pages": "write", "id-token": "write"}
    assert jobs["publish"]["needs"] == "test"
    assert "pull_request" in jobs["publish"]["if"]
    used = [step["uses"] for steps in STEPS.values() for step in steps if "uses" in step]
    assert all(re.fullmatch(r"actions/[\w-]+@v\d+", each) for each in used), used


def test_its_python_is_one_the_package_takes():
    (setup,) = (s for s in STEPS["test"] if "setup-python" in s.get("uses", ""))
    asked = re.search(r'requires-python = ">=(\d+)\.(\d+)"', (ROOT / "pyproject.toml").read_text())
    assert asked is not None
    assert tuple(map(int, setup["with"]["python-version"].split("."))) >= tuple(
        map(int, asked.groups())
    )


def test_the_book_is_made_anew_by_what_exists():
    remake = yaml.safe_load(FILE.with_name("remake.yml").read_text())
    assert remake["permissions"] == {"contents": "read"}
    (job,) = remake["jobs"].values()
    runs = [step["run"] for step in job["steps"] if "run" in step]
    assert runs == ["make book", ".venv/bin/shapebook words"]
    assert "schedule" in remake[True]
    commands = {each.name or each.callback.__name__ for each in app.registered_commands}
    assert "words" in commands


def test_the_repository_s_address_goes_into_the_configuration(tmp_path: Path):
    (command,) = (each for each in RUNS if each.startswith("sed"))
    (tmp_path / "_config.yml").write_text((ROOT / "_config.yml").read_text())
    address = {"GITHUB_SERVER_URL": "https://github.com", "GITHUB_REPOSITORY": "someone/something"}
    subprocess.run(
        ["bash", "-c", command], cwd=tmp_path, env={"PATH": "/usr/bin:/bin", **address}, check=True
    )
    changed = yaml.safe_load((tmp_path / "_config.yml").read_text())
    assert changed["repository"].pop("url") == "https://github.com/someone/something"
    kept = yaml.safe_load((ROOT / "_config.yml").read_text())
    kept["repository"].pop("url")
    assert changed == kept
