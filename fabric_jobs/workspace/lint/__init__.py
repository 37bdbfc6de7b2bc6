"""Everything that is wrong with a workspace, without running anything."""
