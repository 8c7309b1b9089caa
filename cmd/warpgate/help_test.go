package main

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/mezusphere/mezu/cli/terminal"
	"github.com/mezusphere/mezu/testkit"
)

// The page of help fits 80 columns in a real terminal, has an example, and says the same at 40.
func TestHelp_InATerminal(t *testing.T) {
	if narrow := terminal.Page(usage, 40); strings.Join(strings.Fields(narrow), " ") != strings.Join(strings.Fields(usage), " ") {
		t.Errorf("at 40 columns it says something else:\n%s", narrow)
	}
	if !strings.Contains(usage, "\nExample:\n   warpgate ") {
		t.Error("there is no example")
	}
	rows, _ := testkit.Screen(t, terminal.PageWidth, strconv.Quote(os.Args[0])+" --help; "+strconv.Quote(os.Args[0])+" install --help", programVariable+"=1")
	if rows != usage+usage {
		t.Errorf("a terminal shows\n%s", rows)
	}
}
