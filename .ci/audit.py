"""Known holes in the packages that requirements pin, as PyPI's advisories tell them.

    .venv/bin/python .ci/audit.py

Exit status 1 when a package has a hole, or packages do not fit together. Where the advisories cannot be asked
it says NOT AUDITED, and which packages; with AUDIT=required that is exit status 1 too.
"""

import json
import os
import subprocess
import sys
from typing import Any

FILES = ("requirements.txt", "requirements-dev.txt")


def main() -> int:
    fits = subprocess.run([sys.executable, "-m", "pip", "check"], check=False).returncode == 0
    text, is_good = verdict(asked())
    print(text)
    return 0 if fits and is_good else 1


def asked() -> list[dict[str, Any]] | None:
    """What pip-audit found about each package; None when it could not ask."""
    files = [part for name in FILES for part in ("-r", name)]
    command = [sys.executable, "-m", "pip_audit", *files, "--disable-pip", "--no-deps", "--format", "json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        found: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        sys.stderr.write(done.stderr[-500:])
        return None
    return found


def verdict(packages: list[dict[str, Any]] | None) -> tuple[str, bool]:
    """In words, and whether the build may go on."""
    is_lenient = os.environ.get("AUDIT") != "required"
    if packages is None:
        return "NOT AUDITED: the advisories cannot be asked from here.", is_lenient
    skipped = [package["name"] for package in packages if "skip_reason" in package]
    holes = [
        f"{package['name']} {package['version']}: {hole['id']}, mended in {_versions(hole)}"
        for package in packages
        for hole in package.get("vulns", [])
    ]
    if holes:
        return "\n".join(["Known holes:", *holes]), False
    if skipped:
        some = "none" if len(skipped) == len(packages) else f"all but {len(skipped)}"
        text = (
            f"NOT AUDITED: the advisories know {some} of the {len(packages)} packages: {', '.join(skipped)}"
        )
        return text, is_lenient
    return f"No known hole in {len(packages)} packages.", True


def _versions(hole: dict[str, Any]) -> str:
    return ", ".join(hole["fix_versions"]) or "no version yet"


if __name__ == "__main__":
    sys.exit(main())
