curl --silent --show-error --fail-with-body "$GATEWAY_URL/chat" \
  --header "Authorization: Bearer $GATEWAY_KEY" \
  --form "message=What does this say?" \
  --form "file=@$FILE"
