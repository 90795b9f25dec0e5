"""Your own labeled data: its description and its checks."""
