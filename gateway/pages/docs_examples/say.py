import json
import os
from urllib.request import Request, urlopen

request = Request(
    f"{os.environ['GATEWAY_URL']}/chat",
    data=json.dumps({"message": "Hello"}).encode(),
    headers={"Authorization": f"Bearer {os.environ['GATEWAY_KEY']}", "Content-Type": "application/json"},
)
with urlopen(request, timeout=120) as response:
    print(json.load(response)["response"])
