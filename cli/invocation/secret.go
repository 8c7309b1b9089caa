package invocation

import (
	"github.com/urfave/cli/v2"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/cli/exit"
	"github.com/mezusphere/mezu/cli/keyfile"
	"github.com/mezusphere/mezu/cli/terminal"
)

// SecretFlag is the flag by which a secret that a command makes goes into a file.
func SecretFlag() cli.Flag { return &cli.PathFlag{Name: keyfile.FlagName, Usage: keyfile.Usage} }

// SecretFile is the file of that flag; empty if the secret is to be shown. -o name would show
// another thing in its place, and nobody would ever see it.
func (i *Invocation) SecretFile(c *cli.Context) (string, error) {
	path := i.Path(c.Path(keyfile.FlagName))
	if path == "" && i.Flags.Output == terminal.Names {
		e := exit.Usagef("-o name would leave out what is shown this once")
		e.Hint = "--" + keyfile.FlagName + " FILE, which keeps it"
		return "", e
	}
	return path, nil
}

// KeyFile is a file that waits for its secret.
type KeyFile = keyfile.File

// ReserveSecret makes the file before the secret is made; no path is no file. Whoever reserves a file
// discards it at the end.
func ReserveSecret(path string) (*KeyFile, error) { return keyfile.Reserve(path) }

// KeepSecret puts a secret into its file, and says so. If there is no file, the secret has to be
// shown. undo is what to type if the file can't be written.
func (i *Invocation) KeepSecret(file *KeyFile, secret, what, undo string) (kept bool, err error) {
	kept, err = file.Keep(secret)
	if err != nil {
		return kept, &mezu.Error{Code: mezu.CodeInternal, Detail: err.Error(), Hint: undo, Cause: err}
	}
	if kept {
		i.Sayf("%s is in %s", what, terminal.Clean(file.Path()))
	}
	return kept, nil
}
