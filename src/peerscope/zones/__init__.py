"""Networks of more than one zone: summaries of aggregators, and views of the whole. Pure."""
