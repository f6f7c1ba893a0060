"""Say which installed packages have known vulnerabilities, and how many packages could be looked up at all.

pip-audit alone ends with "No known vulnerabilities found" where it could look up none.
"""

import json
import subprocess
import sys

AUDIT = [sys.executable, "-m", "pip_audit", "--skip-editable", "--progress-spinner", "off", "--format", "json"]


def main() -> int:
    """Print a line, and one for each vulnerability; their number is the exit status."""
    ended = subprocess.run(AUDIT, capture_output=True, text=True, check=False)
    try:
        packages = json.loads(ended.stdout)["dependencies"]
    except (ValueError, LookupError):
        print(f"audit: pip-audit could not look anything up: {ended.stderr.strip().splitlines()[-1:]}")
        return 0
    known = [one for one in packages if "skip_reason" not in one]
    found = [(one, vulnerability) for one in known for vulnerability in one["vulns"]]
    for one, vulnerability in found:
        print(f"audit: {one['name']} {one['version']}: {vulnerability['id']}, "
              f"mended in {', '.join(vulnerability['fix_versions']) or 'no version'}")  # fmt: skip
    print(f"audit: {len(known)} of {len(packages)} packages could be looked up, {len(found)} vulnerabilities")
    return min(len(found), 125)


if __name__ == "__main__":
    sys.exit(main())
