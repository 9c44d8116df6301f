import json
import os
from urllib.request import Request, urlopen

request = Request(
    f"{os.environ['GATEWAY_URL']}/chat",
    data=json.dumps({"message": "Hello", "stream": True}).encode(),
    headers={"Authorization": f"Bearer {os.environ['GATEWAY_KEY']}", "Content-Type": "application/json"},
)
with urlopen(request, timeout=120) as response:
    for line in response:  # as it arrives
        name, _, value = line.decode().rstrip("\n").partition(": ")
        if name in {"event", "data"}:
            print(name, value, flush=True)
