"""What turns arms into effects: tests on sufficient statistics, never on people."""
