"""Parts of a JSON API that any adapter can use: reads bodies, waits for turns, builds responses, describes routes."""
