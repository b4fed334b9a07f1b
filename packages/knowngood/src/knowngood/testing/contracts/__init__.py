"""Contract test classes: subclass one, give it your adapter by a fixture, and its promises are tested."""
