"""Measure thaws against cold starts: arms, interleaved runs, answers compared, tables and plots."""
