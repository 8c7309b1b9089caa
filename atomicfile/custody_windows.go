package atomicfile

import (
	"io/fs"
	"os"
)

// Nothing is checked here: see ExposedError.

func checkDir(string) error { return nil }

func checkWay(string) error { return nil }

func checkFile(string, fs.FileInfo, bool) error { return nil }

// open opens a file for reading.
func open(path string) (*os.File, error) { return os.Open(path) }
