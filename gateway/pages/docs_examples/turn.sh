curl --silent --show-error --fail-with-body "$GATEWAY_URL/chat/turns/$TURN_ID" \
  --header "Authorization: Bearer $GATEWAY_KEY"
