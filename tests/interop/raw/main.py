"""The raw client: what no library sends. Run by `tests/interop/run`, usable by hand:

    python3 tests/interop/raw/main.py --namesrv 127.0.0.1:9876 [scenario ...]
"""

import broker    # noqa: F401  registers its scenarios
import framing   # noqa: F401
import lite      # noqa: F401
import namesrv   # noqa: F401
import pop       # noqa: F401
from harness import Env
from runner import main


def env_of(args):
    env = Env(args.namesrv)
    return lambda: env


if __name__ == "__main__":
    main(env_of)
