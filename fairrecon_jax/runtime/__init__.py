"""What the code runs on: devices, processes, progress, files written whole, memory."""
