"""The pipeline of a run: what its steps read, what they do, and their order."""

from recdistill.pipeline.machine import choose_device
from recdistill.pipeline.pipeline import Pipeline, check_models, do_steps, run

__all__ = ["Pipeline", "check_models", "choose_device", "do_steps", "run"]
