import base64
import json
import os
from pathlib import Path
from urllib.request import Request, urlopen

file = Path(os.environ["FILE"])
data_url = "data:text/plain;base64," + base64.b64encode(file.read_bytes()).decode()
body = {"message": "What does this say?", "files": [{"name": file.name, "data": data_url}]}
request = Request(
    f"{os.environ['GATEWAY_URL']}/chat",
    data=json.dumps(body).encode(),
    headers={"Authorization": f"Bearer {os.environ['GATEWAY_KEY']}", "Content-Type": "application/json"},
)
with urlopen(request, timeout=120) as response:
    print(json.load(response)["response"])
