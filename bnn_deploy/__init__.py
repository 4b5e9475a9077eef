"""From a latency budget on a real board to a trained 1-bit MobileNet that runs there."""

__version__ = "0.1.0"
