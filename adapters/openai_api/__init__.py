"""OpenAI's API, the platform of programs that speak it: threads and runs, chat completions, responses."""
