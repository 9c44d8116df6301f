"""What is done beside the turns."""
