"""The way back at work: the listener for Segment's webhooks, the worker that applies calls, the relay of the outbox."""
