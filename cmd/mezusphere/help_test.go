package main

import (
	"context"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/mezusphere/mezu/cli/terminal"
	"github.com/mezusphere/mezu/testkit"
)

// helpPages are the arguments of everything that has a page of help.
func helpPages() [][]string {
	var out [][]string
	for _, command := range []string{"", roleControl, roleEdge, roleAll, roleRestore, "check", "check control", "join-token", "join-token create", "operator", "operator reset", "audit", "audit verify",
		"keys", "keys show", "keys rotate", "keys add-seal-key", "backup"} {
		out = append(out, append(strings.Fields(command), "--help"))
	}
	return out
}

// Every page fits 80 columns and has an example, whose flags it explains.
func TestHelp_Fits(t *testing.T) {
	for _, args := range helpPages() {
		code, out, talk := mezusphere(nil, args...)
		if code != 0 || talk != "" {
			t.Fatalf("%v: code %d, %s", args, code, talk)
		}
		for line := range strings.Lines(out) {
			if n := terminal.Wide(strings.TrimRight(line, "\n")); n > terminal.PageWidth {
				t.Errorf("%v: %d columns: %s", args, n, line)
			}
		}
		_, example, ok := strings.Cut(out, "\nExample:\n   mezusphere ")
		if !ok || !strings.HasPrefix(out, "mezusphere") {
			t.Errorf("%v has no example, or begins in another way:\n%s", args, out)
		}
		example, _, _ = strings.Cut(example, "\n")
		for _, word := range strings.Fields(example) {
			if strings.HasPrefix(word, "--") && len(args) > 1 && !strings.Contains(out, "   "+word+" ") {
				t.Errorf("%v: the example has %s, which the page does not explain", args, word)
			}
		}
		narrow := terminal.Page(out, 40)
		if strings.Join(strings.Fields(narrow), " ") != strings.Join(strings.Fields(out), " ") {
			t.Errorf("%v says something else at 40 columns:\n%s", args, narrow)
		}
	}
}

// writingPages says that this process writes all pages, at the terminal that it has.
const writingPages = "MEZU_TEST_PAGES"

// Every page as a terminal of 80 columns shows it.
func TestHelp_InATerminal(t *testing.T) {
	if os.Getenv(writingPages) != "" {
		for _, args := range helpPages() {
			run(context.Background(), args, os.Getenv, terminal.System(os.Stdin, os.Stdout, os.Stderr, os.Getenv))
		}
		return
	}
	want := ""
	for _, args := range helpPages() {
		_, out, _ := mezusphere(nil, args...)
		want += out
	}
	rows, _ := testkit.Screen(t, terminal.PageWidth, strconv.Quote(os.Args[0])+" -test.run '^TestHelp_InATerminal$'", writingPages+"=1")
	if rows, _, _ = strings.Cut(rows, "PASS\n"); rows != want {
		t.Errorf("a terminal shows\n%s\nnot\n%s", rows, want)
	}
}

func TestVersion(t *testing.T) {
	for _, args := range []string{"version", "--version", "-v", "control -v", "join-token --version"} {
		if code, out, talk := mezusphere(nil, strings.Fields(args)...); code != 0 || out != "mezusphere "+version+"\n" || talk != "" {
			t.Errorf("%s: code %d, %q, %q", args, code, out, talk)
		}
	}
}

// What is missing, or is no value, is said with what is expected.
func TestWrongLines(t *testing.T) {
	for line, want := range map[string]string{
		"backup b":                           "mezusphere backup needs the control plane: --api URL, or MEZU_API",
		"backup b --api https://127.0.0.1:1": "mezusphere backup needs an operator's token: --token-file FILE, or MEZU_TOKEN",
		"backup":                             "mezusphere backup needs a FILE",
		"keys rotate --api https://127.0.0.1:1 --token x":             "mezusphere keys rotate needs what to rotate: --what signing, root, prune or seal",
		"keys rotate --what root --api https://127.0.0.1:1 --token x": "mezusphere keys rotate --what root needs the offline roots, which sign new keys: --offline DIR",
		"join-token create --json=maybe":                              `--json is true or false, not "maybe"`,
		"join-token create --api":                                     "--api needs a value",
		"control --stat x":                                            "there is no flag --stat\n  try: did you mean: --state",
		"keys show --api-file x":                                      "there is no flag --api-file\n  try: mezusphere --help",
		"contrl":                                                      "mezusphere has no command \"contrl\"\n  try: did you mean: mezusphere control",
		"bakup b":                                                     "mezusphere has no command \"bakup\"\n  try: did you mean: mezusphere backup",
		"serve":                                                       "mezusphere has no command \"serve\"\n  try: mezusphere --help",
		"audit verify":                                                "mezusphere audit verify needs the folder of the archive, DIR, after the flags",
		"restore":                                                     "mezusphere restore needs the FILE of a backup",
	} {
		if code, _, talk := mezusphere(nil, strings.Fields(line)...); code != 2 || !strings.Contains(talk, want) {
			t.Errorf("%s: code %d, %s", line, code, talk)
		}
	}
}
