"""What the integration tests and the demo share: real programs, started, awaited and ended."""
