"""`snakemake --lint`, which exits 1 for every rule without conda: fail on any other message."""

import re
import subprocess
import sys

TOLERATED = "Specify a conda environment or container for each rule"  # one pinned lock file serves every rule


def main() -> int:
    run = subprocess.run([sys.executable, "-m", "snakemake", "--lint"], capture_output=True, text=True)
    output = run.stdout + run.stderr
    messages = re.findall(r"^ {4}\* (.*)$", output, re.M)
    others = [message for message in messages if not message.startswith(TOLERATED)]
    if others or not messages:  # no message at all: the linter did not get as far as the rules
        print(output, file=sys.stderr)
        return 1
    print(f"snakemake --lint: {len(messages)} rules, no message but the one about conda")
    return 0


if __name__ == "__main__":
    sys.exit(main())
