"""How fast a dump is cleaned, against a plain XML parse of the same file in the same run.

The pages of the sample dump are repeated into a dump of the size asked for, in a temporary folder.
"""

import argparse
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from shapelib.store import assets
from shapelib.text import cleaning, dump


def repeated_dump(target: Path, megabytes: float) -> int:
    """Write a dump of about `megabytes` MB made of the sample's pages. Returns its bytes."""
    with dump.decompressed(assets.fetch("enwiki-sample")) as chunks:
        whole = b"".join(chunks)
    first, last = whole.index(b"<page>"), whole.rindex(b"</page>") + len(b"</page>\n")
    size = 0
    with target.open("wb") as file:
        size += file.write(whole[:first])
        while size < megabytes * 1e6:
            size += file.write(whole[first:last])
        size += file.write(whole[last:])
    return size


def parsed(source: Path) -> float:
    """Seconds for parsing the XML and nothing else, in bounded memory."""
    start = time.perf_counter()
    for _, element in ElementTree.iterparse(source):
        if element.tag.endswith("page"):
            element.clear()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=float, default=100.0, help="size of the dump, in MB")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "dump.xml"
        megabytes = repeated_dump(source, arguments.megabytes) / 1e6
        baseline = parsed(source)
        start = time.perf_counter()
        cleaning.clean_into(Path(folder), source)
        seconds = time.perf_counter() - start
    print(f"dump               {megabytes:8.1f} MB")
    print(f"XML parse alone    {baseline:8.1f} s  {megabytes / baseline:8.1f} MB/s")
    print(f"parse and clean    {seconds:8.1f} s  {megabytes / seconds:8.1f} MB/s")
    print(f"ratio              {seconds / baseline:8.1f}")


if __name__ == "__main__":
    main()
