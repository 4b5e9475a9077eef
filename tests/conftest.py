"""For all tests: the command line's setting of torch's threads, before torch is imported."""

import bnn_deploy.cli  # noqa: F401
