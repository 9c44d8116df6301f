"""What a model is told of the conversation so far, within what its server takes."""
