"""What tests share: rendered images, labelled sets, tiny networks, servers."""
