"""Working on flows: drawn, judged, replayed, learnt from what was said."""
