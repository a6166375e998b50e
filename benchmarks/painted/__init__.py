"""What the sync benchmark shares: the drawn motion, the read-back of painted pictures, the peers' pages."""
