curl --silent --show-error --fail-with-body "$GATEWAY_URL/chat" \
  --header "Authorization: Bearer $GATEWAY_KEY" \
  --header "Content-Type: application/json" \
  --data '{"message": "Hello"}'
