package cli_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/mezusphere/mezu/cli"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/terminal"
)

// elsewhere are the commands whose example can't run here, each with its reason.
func elsewhere() map[string]string {
	daemon := "it is about a process of its own: cmd/mezu runs it"
	return map[string]string{
		"dev":                "it is the services themselves: cmd/mezu runs it",
		"login":              "its control plane is one that cannot be reached here: testdata/script/login.txtar logs in at another one",
		"bootstrap":          "its control plane is one that cannot be reached here: testdata/entity/bootstrap.txtar comes in at another one",
		"invitations accept": "as bootstrap",
		"operators create":   "nobody else is known here: testdata/entity/operators.txtar makes one",
		"operators delete":   "the only operator can't go",
		"status":             "it waits for traffic: cmd/mezu runs it with some",
		"users invite":       "a control plane without mail refuses it: e2e has one with",
		"update":             "it replaces the program: cli/update runs it",
		"tunnel":             daemon,
		"daemon run":         daemon,
		"daemon start":       daemon,
		"daemon status":      daemon, "daemon logs": daemon, "daemon stop": daemon, "daemon restart": daemon,
		"daemon install": "it changes the services of this machine", "daemon uninstall": "as daemon install",
		"dashboard":      "it needs a terminal: cmd/mezu runs it at one",
		"trust":          "it changes what this machine trusts: cli/trust runs it in folders of its own",
		"members update": "the only owner can't be made less", "members delete": "the only owner can't go",
	}
}

// excepted gives the reason why an example doesn't run here.
func excepted(path string) (reason string, ok bool) {
	all := elsewhere()
	if reason, ok = all[path]; ok {
		return reason, true
	}
	first, _, _ := strings.Cut(path, " ")
	if first == "tunnel" || first == "requests" {
		reason, ok = all["tunnel"]
	}
	return reason, ok
}

// help is the help of a command.
func help(t *testing.T, path string) string {
	t.Helper()
	var out, talk bytes.Buffer
	inv := invocation.Invocation{Streams: terminal.Streams{In: strings.NewReader(""), Out: &out, Err: &talk}, Getenv: func(string) string { return "" }}
	args := append(strings.Fields(path), "--help")
	if code := cli.Main(context.Background(), args, inv, cli.Config{Version: "1.2.3"}); code != 0 {
		t.Fatalf("mezu %s --help: code %d, %s", path, code, &talk)
	}
	return out.String()
}

// commands are the paths of all commands that do something, as the help pages list them.
func commands(t *testing.T, path string) []string {
	t.Helper()
	page := help(t, path)
	listed := regexp.MustCompile(`(?m)^   ([a-z][a-z-]*)(?:, [a-zA-Z, -]+)?  `).FindAllStringSubmatch(section(page), -1)
	var out []string
	_, example, _ := strings.Cut(page, "\nExample:\n   ")
	group := slices.ContainsFunc(listed, func(m []string) bool {
		return strings.HasPrefix(example, strings.TrimSpace("mezu "+path)+" "+m[1])
	})
	if !group {
		out = append(out, path)
	}
	for _, m := range listed {
		if m[1] == "help" { // "mezu help --help" is "mezu --help"
			out = append(out, "help exit-codes", "help environment", "help scripting")
			continue
		}
		out = append(out, commands(t, strings.TrimSpace(path+" "+m[1]))...)
	}
	return out
}

// section is the part of a help page that lists commands.
func section(page string) string {
	if _, page, ok := strings.Cut(page, "\nCommands:\n"); ok {
		list, _, _ := strings.Cut(page, "\n\n")
		return list
	}
	if !strings.HasPrefix(page, "mezu - ") {
		return ""
	}
	list, _, _ := strings.Cut(page, "\nFlags of all commands:\n")
	return list
}

// exampleOf is the example in a command's help.
func exampleOf(t *testing.T, path string) string {
	t.Helper()
	_, example, ok := strings.Cut(help(t, path), "\nExample:\n   ")
	if !ok {
		t.Errorf("mezu %s --help has no example: give it one in cli/example.go", path)
		return ""
	}
	example, _, _ = strings.Cut(example, "\n")
	return example
}

// anID is an id as examples have it.
var anID = regexp.MustCompile(`\b[a-z]{3}_[0-9a-z]{26}\b`)

// Each command has one example in its help, and it runs as it stands there.
func TestExamples(t *testing.T) {
	all := commands(t, "")
	if len(all) < 60 {
		t.Fatalf("found %d commands only: %q", len(all), all)
	}
	examples := map[string]string{}
	for _, path := range all {
		example := exampleOf(t, path)
		if example != "" && !strings.HasPrefix(example+" ", "mezu "+path+" ") {
			t.Errorf("the example of mezu %s is %q", path, example)
		}
		examples[path] = example
	}
	for path, reason := range elsewhere() {
		if !slices.Contains(all, path) && path != "tunnel" {
			t.Errorf("there is no command %q any more, which is excepted because %s", path, reason)
		}
	}
	ran := map[string]bool{}
	t.Cleanup(func() { // the script runs beside others, and has ended then
		for _, path := range all {
			if reason, not := excepted(path); not == ran[path] {
				t.Errorf("the example of mezu %s ran: %v, excepted: %q. Add it to testdata/example, or say in elsewhere why not", path, ran[path], reason)
			}
		}
	})
	endpoint := startRealPlane(t)
	runWith(t, "example", endpoint, map[string]func(*testscript.TestScript, bool, []string){
		"example": func(ts *testscript.TestScript, neg bool, args []string) {
			example, ok := examples[args[0]]
			if !ok {
				ts.Fatalf("there is no command %q", args[0])
			}
			ran[args[0]] = true
			if len(args) > 1 {
				example = anID.ReplaceAllLiteralString(example, args[1])
			}
			line, to, redirected := strings.Cut(example, " > ")
			endpoint.runMezu(ts, neg, words(line)[1:], "", false)
			if redirected {
				ts.Check(os.WriteFile(ts.MkAbs(to), []byte(ts.ReadFile("stdout")), 0o600))
			}
		},
	})
}

// words splits a line as a shell does, with single quotes.
func words(line string) []string {
	var out []string
	for i, part := range strings.Split(line, "'") {
		if i%2 == 1 {
			out = append(out, part)
			continue
		}
		out = append(out, strings.Fields(part)...)
	}
	return out
}

// The topic names all variables that the code reads, and no other.
func TestEnvironmentTopic(t *testing.T) {
	var out, talk bytes.Buffer
	inv := invocation.Invocation{Streams: terminal.Streams{In: strings.NewReader(""), Out: &out, Err: &talk}, Getenv: func(string) string { return "" }}
	if code := cli.Main(t.Context(), []string{"help", "environment"}, inv, cli.Config{}); code != 0 {
		t.Fatal(talk.String())
	}
	name := regexp.MustCompile(`\bMEZU_[A-Z_]+\b`)
	told := name.FindAllString(out.String(), -1)
	read := variables(t, "..")
	if len(read) < 8 {
		t.Fatalf("found %q only", read)
	}
	for _, v := range read {
		if !slices.Contains(told, v) {
			t.Errorf("mezu help environment says nothing of %s", v)
		}
	}
	for _, v := range told {
		if !slices.Contains(read, v) {
			t.Errorf("mezu help environment names %s, which nothing reads", v)
		}
	}
}

// The topic has every code that there is.
func TestExitCodesTopic(t *testing.T) {
	var out bytes.Buffer
	inv := invocation.Invocation{Streams: terminal.Streams{In: strings.NewReader(""), Out: &out, Err: &out}, Getenv: func(string) string { return "" }}
	if code := cli.Main(t.Context(), []string{"help", "exit-codes"}, inv, cli.Config{}); code != 0 {
		t.Fatal(out.String())
	}
	for _, code := range exitCodes(t) {
		if !regexp.MustCompile(fmt.Sprintf(`(?m)^ +%s  `, code)).MatchString(out.String()) {
			t.Errorf("mezu help exit-codes says nothing of %s", code)
		}
	}
}
