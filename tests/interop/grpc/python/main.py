"""The Python gRPC client rocketmq-python-client. Run by `tests/interop/run`."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent.parent / "raw"))
import crossing    # noqa: E402,F401  registers its scenarios
import pushing     # noqa: E402,F401
import receiving   # noqa: E402,F401
import restarting  # noqa: E402,F401
import sending     # noqa: E402,F401
import special     # noqa: E402,F401
from env import Env  # noqa: E402
from runner import main  # noqa: E402

if __name__ == "__main__":
    main(lambda args: lambda: Env(args.grpc, args.helper))
