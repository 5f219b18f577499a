"""The protocol: links, failure detection, gossip, membership and zones. Pure: events in, effects out."""
