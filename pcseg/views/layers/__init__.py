"""Colors per point: labels, predictions, errors, confidence, and maps from inside a head."""
