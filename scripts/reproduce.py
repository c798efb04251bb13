"""Set up the project and write the three reports of the synthetic study to reports/.

python scripts/reproduce.py            any folder; Python 3.11 or newer is all it needs
python scripts/reproduce.py --jobs 2   further arguments go to `recovery-stats run`
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 (this line is for those who come with an older one)
    sys.exit(
        "recovery_stats needs Python 3.11 or newer; this is Python %d.%d."  # noqa: UP031
        % sys.version_info[:2]
    )

import environment

if __name__ == "__main__":
    reports = environment.PROJECT / "reports"
    arguments = ["-m", "recovery_stats", "run", "--force", "-o", str(reports), *sys.argv[1:]]
    sys.exit(environment.run(*arguments))
