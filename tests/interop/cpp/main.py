"""The C++ client librocketmq 1.2.4, through the Python package `rocketmq` that carries it. Run by `tests/interop/run`."""

import pathlib
import sys

INTEROP = pathlib.Path(__file__).resolve().parent.parent
sys.path[1:1] = [str(INTEROP / "raw"), str(INTEROP / "grpc")]
import consuming   # noqa: E402,F401  registers its scenarios
import crossing    # noqa: E402,F401
import producing   # noqa: E402,F401
import restarting  # noqa: E402,F401
from env import Env  # noqa: E402
from runner import main  # noqa: E402

if __name__ == "__main__":
    main(lambda args: lambda: Env(args.namesrv))
