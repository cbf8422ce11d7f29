"""What archives read of this software, from CITATION.cff alone: codemeta.json and .zenodo.json.

``python -m shapebook.pages.outside.citation`` in a checkout writes both anew.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

FILES = ("codemeta.json", ".zenodo.json")
Plain = dict[str, Any]
_ARXIV = "arXiv:"


def texts(root: Path) -> dict[str, str]:
    """What each of `FILES` says, by its name."""
    cited = yaml.safe_load((root / "CITATION.cff").read_text(encoding="utf-8"))
    project = (root / "pyproject.toml").read_text(encoding="utf-8")
    (python,) = re.findall(r'^requires-python = "(.+)"$', project, re.M)
    made = (codemeta(cited, python), zenodo(cited))
    return {
        name: json.dumps(each, indent=2, ensure_ascii=False) + "\n"
        for name, each in zip(FILES, made, strict=True)
    }


def codemeta(cited: Mapping[str, Any], python: str) -> Plain:
    """CodeMeta 3.0, a vocabulary of schema.org for software."""
    return {
        "@context": "https://w3id.org/codemeta/3.0",
        "@type": "SoftwareSourceCode",
        "name": cited["title"],
        "description": " ".join(cited["abstract"].split()),
        "version": str(cited["version"]),
        "license": f"https://spdx.org/licenses/{cited['license']}",
        "author": [{"@type": "Organization", "name": each["name"]} for each in cited["authors"]],
        "keywords": cited["keywords"],
        "programmingLanguage": "Python",
        "runtimePlatform": f"Python {python}",
        "referencePublication": [
            {
                "@type": "ScholarlyArticle",
                "name": each["title"],
                "datePublished": str(each["year"]),
                "identifier": identifier(each),
            }
            for each in cited["references"]
        ],
    }


def zenodo(cited: Mapping[str, Any]) -> Plain:
    """What Zenodo takes of a repository that it archives."""
    return {
        "title": cited["title"],
        "description": " ".join(cited["abstract"].split()),
        "upload_type": "software",
        "version": str(cited["version"]),
        "license": cited["license"],
        "access_right": "open",
        "creators": [{"name": each["name"]} for each in cited["authors"]],
        "keywords": cited["keywords"],
        "related_identifiers": [
            {
                "identifier": identifier(each),
                "relation": "isSupplementTo",
                "resource_type": "publication-conferencepaper",
            }
            for each in cited["references"]
        ],
    }


def identifier(reference: Mapping[str, Any]) -> str:
    """A paper's address: its DOI, else its arXiv number, else its page."""
    if doi := reference.get("doi"):
        return f"https://doi.org/{doi}"
    for each in reference.get("identifiers", []):
        if (value := str(each["value"])).startswith(_ARXIV):
            return f"https://arxiv.org/abs/{value.removeprefix(_ARXIV)}"
    return str(reference["url"])


if __name__ == "__main__":
    for name, text in texts(Path.cwd()).items():
        Path(name).write_text(text, encoding="utf-8")
