"""Set up the project and run its tests.

python scripts/test.py                 any folder; Python 3.11 or newer is all it needs; all of
                                       them, in as many processes as there are processors
python scripts/test.py -k relapse      further arguments go to pytest
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 (this line is for those who come with an older one)
    sys.exit(
        "recovery_stats needs Python 3.11 or newer; this is Python %d.%d."  # noqa: UP031
        % sys.version_info[:2]
    )

import environment

# Tests of one file share what their fixtures make, and stay together.
WHOLE = ("--numprocesses=auto", "--maxprocesses=8", "--dist=loadfile")

if __name__ == "__main__":
    sys.exit(environment.run("-m", "pytest", *(sys.argv[1:] or WHOLE)))
