"""Taking jobs and watching over the process that runs each; never imports torch."""
