"""Send notifications about finds to phones, chats, mail and web hooks."""
