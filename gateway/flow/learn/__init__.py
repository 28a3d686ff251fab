"""What a channel's word does to the books, and when the channel is asked next."""
