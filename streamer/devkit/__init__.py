"""For trying and testing: a real Kafka, a local Segment, and a demo that joins them. Production needs none of it."""
