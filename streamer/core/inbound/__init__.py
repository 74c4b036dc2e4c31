"""The way back: what Segment's webhook calls do to the directory of users. Pure: rules only.

A record of the inbound topic is read to a `Call` (or ends as ignored, or as a dead letter). `View` is what the
directory holds of the users and devices that a slice of calls concerns. Applying a call changes the view, which then
tells the changes to store and the records to publish.
"""
