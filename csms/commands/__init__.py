"""The commands of `csms`, a file per subject: settings and arguments in, an exit status out."""
