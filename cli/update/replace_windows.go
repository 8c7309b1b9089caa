package update

import (
	"os"
	"path/filepath"
)

// asideName is what a program that runs is called once it is replaced: Windows lets it be renamed
// and not removed. The next update removes it, as all that begins so.
const asideName = stagedPrefix + "old.exe"

// replaceProgram renames the program that runs aside, and the new one into its place.
func replaceProgram(staged, program string) error {
	aside := filepath.Join(filepath.Dir(program), asideName)
	os.Remove(aside) // of the update before; if it still runs, the rename fails
	if err := os.Rename(program, aside); err != nil {
		return err
	}
	err := os.Rename(staged, program)
	if err != nil {
		_ = os.Rename(aside, program) // as it was
	}
	return err
}

func readOnly(error) bool { return false }
