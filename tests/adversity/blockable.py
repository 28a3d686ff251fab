"""`gateway` whose workers can be blocked: SIGUSR2 holds the event loop in a call that does not
return, as a driver or a bad regular expression would, until the file named by BLOCKED_WHILE is
gone. Run as `python -m tests.adversity.blockable serve …`.
"""

import os
import signal
import sys
import time
from pathlib import Path

from gateway.__main__ import main


def block(_number: int, _frame: object) -> None:
    """On the loop's own thread."""
    held = Path(os.environ["BLOCKED_WHILE"])
    while held.exists():
        time.sleep(0.01)


if __name__ == "__main__":
    signal.signal(signal.SIGUSR2, block)  # kept by the workers, which are forked
    sys.exit(main())
