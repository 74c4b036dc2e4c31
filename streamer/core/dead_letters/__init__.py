"""Records set aside: when that must stop, what stands in their topics, and the way back."""
