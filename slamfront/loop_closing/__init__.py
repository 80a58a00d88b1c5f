"""Places seen again: relocalisation, loops, and maps that are merged."""
