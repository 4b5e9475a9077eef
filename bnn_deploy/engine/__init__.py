"""The engine from Python: write a `.bnn`, load it, run it. Needs numpy alone."""

from bnn_deploy.engine.bnn_file import plan_to_bytes, read_bnn, to_bytes, write_bnn
from bnn_deploy.engine.network import Network, StepTrace

__all__ = ["Network", "StepTrace", "plan_to_bytes", "read_bnn", "to_bytes", "write_bnn"]
