"""One integration at work: from Kafka to the commit. `Pipeline` joins the parts."""

from streamer.pipeline.pipeline import Pipeline

__all__ = ["Pipeline"]
