"""Commands about bundles and sizes of networks."""
