"""From a channel of JPEGs to batches of pixels: read, checked, decoded by DALI or without it, shown in part, kept."""
