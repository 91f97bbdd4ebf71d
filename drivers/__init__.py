"""Ways of reading a badge: from metal to Tap. Knows nothing of the daemon."""
