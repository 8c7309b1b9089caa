package process

import "os"

// temporaryVariable names the place for temporary files.
const temporaryVariable = "TMPDIR"

// MakeTemporaryIn has temporary files made in dir if they can't be made in the usual place, as in a
// container whose root is read-only. The engine of the firewall refuses to work without a
// place for them.
func MakeTemporaryIn(dir string) error {
	f, err := os.CreateTemp("", "mezu-")
	if err != nil {
		return os.Setenv(temporaryVariable, dir)
	}
	f.Close()
	return os.Remove(f.Name())
}
