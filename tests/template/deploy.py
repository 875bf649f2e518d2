"""Holds what scripts/deploy refuses, before it builds or calls anything, against what it should say.

usage: deploy.py
"""

import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).parents[2]
REFUSED = [
    ([], "which stage? samconfig.toml has: staging, production"),
    (["nowhere"], "samconfig.toml has no stage nowhere; it has: staging, production"),
    (["stag.*"], "samconfig.toml has no stage stag.*; it has: staging, production"),
    (["staging", "--check"], "--check comes before the stage: scripts/deploy --check staging"),
    (["staging"], "samconfig.toml still names the example's repository for staging: fill in RepositoryUrl"),
]


def main():
    with tempfile.TemporaryDirectory() as tools:
        # Whatever gets past the refusals calls this, and is found out.
        called = pathlib.Path(tools, "called")
        for name in ("aws", "cargo"):
            tool = pathlib.Path(tools, name)
            tool.write_text(f"#!/bin/sh\necho {name} >>{called}\nexit 1\n")
            tool.chmod(0o755)
        environment = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"}
        for arguments, told in REFUSED:
            run = [ROOT / "scripts/deploy", *arguments]
            done = subprocess.run(run, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
            if done.returncode != 1 or done.stderr != f"deploy: {told}\n" or called.exists():
                sys.exit(f"{arguments}: {done.returncode} {done.stdout}{done.stderr}, in place of: {told}")
    print(f"{len(REFUSED)} calls of scripts/deploy are refused, each with its reason")


main()
