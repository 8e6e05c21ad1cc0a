"""Many traces in one loop: `client.traces.iter`."""
