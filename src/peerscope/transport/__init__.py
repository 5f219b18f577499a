"""The wire: whatever carries bytes between peers that have proved their ids."""
