"""``python -m tests.fuzz tables --minutes 60``: fuzz a target with atheris, from the corpus of this folder.

An input that lets anything but a documented error out is written to the current folder as ``crash-...``; one
that takes longer than ten seconds as ``timeout-...``; one that takes more than 2 GB as ``oom-...``. Fix the
fault as a kind, then keep the input in the corpus, which the suite replays.
"""

import argparse
import sys
import tempfile
from pathlib import Path
from random import Random

import atheris

CORPUS = Path(__file__).with_name("corpus")

with atheris.instrument_imports(include=["app.intake", "app.inference.protocols"]):
    from tests.fuzz.mutations import mutate_json
    from tests.fuzz.targets import OF_JSON, TARGETS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m tests.fuzz")
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--found", type=Path, help="a folder that keeps inputs that reach new code")
    arguments = parser.parse_args()
    found = arguments.found or Path(tempfile.mkdtemp(prefix=f"fuzz-{arguments.target}-"))
    found.mkdir(exist_ok=True)
    options = [f"-max_total_time={arguments.minutes * 60:.0f}", "-timeout=10", "-rss_limit_mb=2048"]
    options += ["-max_len=65536", str(found), str(CORPUS / arguments.target)]
    prefix = OF_JSON.get(arguments.target)

    def mutate(content: bytes, max_size: int, seed: int) -> bytes:
        random = Random(seed)
        changed = None if prefix is None or random.random() < 0.1 else mutate_json(content[prefix:], random)
        if changed is None or prefix is None:
            return atheris.Mutate(content, max_size)
        return (content[:prefix].ljust(prefix, b"\0") + changed)[:max_size]

    hooks = {} if prefix is None else {"custom_mutator": mutate}
    atheris.Setup([sys.argv[0], *options], TARGETS[arguments.target], **hooks)
    atheris.Fuzz()


main()
