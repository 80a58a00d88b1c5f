"""Rooms and streets of bodies with real materials and lamps, seen by path tracing; needs the extra `render`."""
