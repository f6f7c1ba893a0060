"""What this machine has: devices, a compiler, memory."""
