"""Who may use the operator's pages: roles, sign-in at an OpenID provider, and sign-in by a proxy."""
