package main

import (
	"testing"

	"github.com/mezusphere/mezu/cli/manual"
	"github.com/mezusphere/mezu/testkit"
)

// What is committed of the reference and the manual is what the program's help says.
func TestReference(t *testing.T) {
	testkit.Written(t, "../../docs/reference", "warpgate*", map[string]string{"warpgate.md": manual.MarkdownOfText(usage, nil)})
	testkit.Written(t, "../../docs/man", "warpgate*", map[string]string{"warpgate.1": manual.ManOfText(usage, nil)})
}
