"""What people administer: merchants, keys, accounts, rules, endpoints."""
