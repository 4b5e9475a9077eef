"""An exported file, run and timed in any runtime that can: here or on a device."""
