import json
import os
from urllib.request import Request, urlopen

request = Request(
    f"{os.environ['GATEWAY_URL']}/chat/turns/{os.environ['TURN_ID']}",
    headers={"Authorization": f"Bearer {os.environ['GATEWAY_KEY']}"},
)
with urlopen(request, timeout=30) as response:
    turn = json.load(response)
print(turn["state"], turn["response"])
