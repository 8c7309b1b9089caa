package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/mezusphere/mezu/cli/terminal"
)

// shown are the commands that only show something, with what they need. {KIND} is an id.
func shown() []string {
	return []string{
		"orgs list", "orgs show dev", "members list", "members show {member}", "members invitations list", "members invitations show {invitation}",
		"projects list", "projects show shop", "environments list", "environments show dev-ada",
		"routes list -e dev-ada", "routes show {route} -e dev-ada", "routes test GET / -e dev-ada",
		"service-accounts list", "service-accounts show ci", "warpgates list -e dev-ada", "warpgates show -e dev-ada {warpgate}",
		"directories list", "directories show customers", "users list -d customers", "users show -d customers {user}",
		"audit", "tunnel list", "tunnel show dev-ada", "requests list", "requests show latest",
		"daemon status", "status shop/dev-ada", "doctor", "whoami", "profiles list", "version", "diff -f other.yaml",
	}
}

// showing are the commands that only show something, by the help of the command of a path.
func (p *tunneller) showing(path ...string) (out []string) {
	page, _ := p.do(append(path, "--help")...)
	_, list, _ := strings.Cut(page, "\nCommands:\n")
	if len(path) == 0 {
		list, _, _ = strings.Cut(page, "\nFlags of all commands:\n")
	}
	list, _, _ = strings.Cut(list, "\nFlags:\n")
	for _, m := range regexp.MustCompile(`(?m)^   ([a-z][a-z-]*)[, ]`).FindAllStringSubmatch(list, -1) {
		switch name := strings.Join(append(path, m[1]), " "); m[1] {
		case "list", "show":
			out = append(out, name)
		case "help", "mezu":
		default:
			out = append(out, p.showing(strings.Fields(name)...)...)
		}
	}
	return out
}

// TestTablesInATerminal: what commands show fits terminals of 40, 80 and 200 columns, in colour,
// without, and on one whose cursor can't be moved.
func TestTablesInATerminal(t *testing.T) {
	world := start(t, t.TempDir())
	p := newTunneller(t, world, nil)
	port := serveText(t, "hello")
	p.env["MEZU_ENVIRONMENT"] = "dev-ada"
	if code := run(t.Context(), []string{"login", "--with-token", "--api", world.ready.API, "--ca-file", world.ready.CAFile, "--profile", "here"}, p.getenv,
		terminal.Streams{In: strings.NewReader(world.ready.Token), Out: io.Discard, Err: io.Discard}); code != 0 {
		t.Fatalf("login: code %d", code)
	}
	p.do("environments", "create", "dev-ada")
	p.do("routes", "create", "all", "--prefix", "/", "--auth", "none")
	url := p.openDetached(port, "-e", "dev-ada")
	for _, path := range []string{"/", "/orders/" + strings.Repeat("long/", 30), "/検索?q=%E6%97%A5%E6%9C%AC"} {
		p.get(url + path)
	}
	p.do("projects", "create", "a-project-with-quite-a-long-name", "--display-name", "日本語のプロジェクト名 🚀 with e\u0301 and more")
	p.do("environments", "create", "a-staging-environment-with-a-long-name")
	p.do("service-accounts", "create", "ci", "--permission", "warpgate.register", "--permission", "routes.read", "--permission", "environments.write")
	p.do("directories", "create", "customers", "--terms", "https://acme.example/terms/of/use/which/are/long", "--terms-version", "2026-01", "--brand-name", "株式会社日本語")
	p.do("users", "create", "a.person.with.a.long.address@customers.acme.example", "-d", "customers", "--display-name", "山田 太郎 👩")
	p.do("users", "create", "b@acme.example", "-d", "customers")
	p.do("members", "invite", "somebody.else@acme.example")
	p.do("routes", "create", "api", "--prefix", "/api/of/a/long/prefix/", "--upstream", "localhost:8080", "--auth", "required", "--role", "staff")
	all := shown()
	for _, name := range p.showing() {
		if slices.ContainsFunc(all, func(line string) bool { return strings.HasPrefix(line+" ", name+" ") }) {
			continue
		}
		// A noun that came later, of which there may be nothing here.
		list := strings.Fields(strings.TrimSuffix(name, " show") + " list")
		if strings.HasSuffix(name, " list") {
			list = strings.Fields(name)
		}
		code, names, said := p.mezu(append(list, "-o", "name")...)
		first, _, _ := strings.Cut(names, "\n")
		switch {
		case code != 0:
			t.Errorf("mezu %s: code %d, %s: put it into shown with what it needs", name, code, said)
		case first != "" && strings.HasSuffix(name, " show"):
			all = append(all, name+" "+first)
		case first != "":
			all = append(all, name)
		}
	}
	ids := map[string]string{
		"member": p.first("members", "list"), "invitation": p.first("members", "invitations", "list"), "route": p.first("routes", "list"),
		"warpgate": p.first("warpgates", "list"), "user": p.first("users", "list", "-d", "customers"),
	}
	a := p.tmux(200, 50)
	other := "organization: dev\nproject: shop\nenvironments:\n  dev-ada:\n    routes:\n      - {prefix: /a/path/that/is/long/enough/for/a/narrow/terminal/, upstream: 'localhost:1'}\n"
	if err := os.WriteFile(filepath.Join(a.folder, "other.yaml"), []byte(other), 0o600); err != nil {
		t.Fatal(err)
	}
	p.checkJSON(a.folder, all, ids)
	var script strings.Builder
	for _, line := range all {
		line = with(line, ids)
		fmt.Fprintf(&script, "echo '=== %s'; \"$mezu\" %s 2>said || cat said\n", line, line)
	}
	if err := os.WriteFile(filepath.Join(a.folder, "all"), []byte(script.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	a.run("set-option", "-g", "history-limit", "20000")
	for _, width := range []int{40, 80, 200} {
		for name, set := range map[string]string{"colour": "", "none": "NO_COLOR=1 ", "dumb": "TERM=dumb "} {
			t.Run(name+" "+strconv.Itoa(width), func(t *testing.T) {
				b := a.window(t, width)
				// What is typed must not look like what it shows, where the terminal breaks its line.
				b.types("clear; " + set + "bash all; echo '=== 'all")
				b.press("Enter")
				b.shows(`(?m)^=== all$`)
				text := b.run("capture-pane", "-p", "-e", "-J", "-S", "-", "-t", "t")
				if strings.Contains(text, "\x1b[") != (name == "colour") {
					t.Errorf("colours:\n%s", text)
				}
				checkShown(t, plain(text), width)
				if os.Getenv("MEZU_SHOW_TABLES") != "" {
					t.Logf("\n%s", plain(text))
				}
			})
		}
	}
	t.Run("watch", func(t *testing.T) { p.in(t).watches(a.window(t, 80)) })
}

// with puts ids into a command.
func with(line string, ids map[string]string) string {
	for kind, id := range ids {
		line = strings.ReplaceAll(line, "{"+kind+"}", id)
	}
	return line
}

// checkJSON holds what commands show in JSON to arrays where it is a list, to no null where there
// is nothing, and to YAML and names that have the same.
func (p *tunneller) checkJSON(dir string, all []string, ids map[string]string) {
	p.t.Helper()
	for _, line := range all {
		line = strings.ReplaceAll(line, "other.yaml", filepath.Join(dir, "other.yaml"))
		words := strings.Fields(with(line, ids))
		_, out, talk := p.mezu(append(words, "-o", "json")...)
		var value any
		if err := json.Unmarshal([]byte(out), &value); err != nil {
			p.t.Errorf("mezu %s -o json: %v: %s%s", line, err, out, talk)
			continue
		}
		lists := regexp.MustCompile(`\b(list|logins|sessions|audit|frames)\b`).MatchString(line)
		if _, list := value.([]any); list != lists {
			p.t.Errorf("mezu %s -o json: list %v: %s", line, list, out)
		}
		if strings.Contains(out, ": null") {
			p.t.Errorf("mezu %s -o json: %s", line, out)
		}
	}
}

// watches: what is repeated is drawn in one place, at once when the daemon tells of something and
// anew for another size, and stays at the end.
func (p *tunneller) watches(a *pane) {
	a.types(`"$mezu" tunnel list --watch 1h; echo code=$?`)
	a.press("Enter")
	a.shows(`mezu tunnel list, every 1h +\d\d:\d\d:\d\d`)
	a.shows(`(?m)^shop/dev-ada +localhost:\d+ +live`)
	p.do("tunnel", "stop", "dev-ada")
	a.shows(`(?m)^shop/dev-ada +localhost:\d+ +stopped`)
	a.run("resize-window", "-t", "t", "-x", "40", "-y", "20")
	a.shows(`(?m)^state +stopped$`)
	a.press("C-c")
	a.shows(`(?m)^code=130$`)
	if screen := a.screen(); !strings.Contains(screen, "state    stopped") || !strings.Contains(screen, "mezu: interrupted") || strings.Contains(screen, "every 1h ") {
		a.t.Errorf("the watch has left\n%s", screen)
	}
}

// first is what a list names first.
func (p *tunneller) first(args ...string) string {
	p.t.Helper()
	out, _ := p.do(append(args, "-o", "name")...)
	name, _, _ := strings.Cut(out, "\n")
	if name == "" {
		p.t.Fatalf("mezu %q lists nothing", args)
	}
	return name
}

// window makes a terminal that wide, with nothing in it.
func (a *pane) window(t *testing.T, width int) *pane {
	b := &pane{t, a.folder}
	b.run("respawn-pane", "-k", "-t", "t")
	b.run("resize-window", "-t", "t", "-x", strconv.Itoa(width), "-y", "50")
	b.shows(`(?m)^shell>`)
	b.run("clear-history", "-t", "t")
	return b
}

// plain is a text without what colours it.
func plain(text string) string {
	return regexp.MustCompile("\x1b\\[[0-9;]*m").ReplaceAllString(text, "")
}

// checkShown holds what commands have shown to the width of the terminal, and each of them to
// having shown something.
func checkShown(t *testing.T, text string, width int) {
	t.Helper()
	_, text, _ = strings.Cut(text, "\n=== ")
	for _, one := range strings.Split(text, "\n=== ") {
		command, out, _ := strings.Cut(one, "\n")
		if command = strings.TrimSpace(command); command == "all" {
			continue
		}
		if strings.TrimSpace(out) == "" {
			t.Errorf("mezu %s shows nothing", command)
		}
		for line := range strings.Lines(out) {
			line = strings.TrimRight(line, " \n")
			if strings.HasPrefix(strings.TrimSpace(line), "try: ") {
				continue // in one piece, to be copied
			}
			if terminal.Wide(line) > width && strings.Contains(strings.TrimSpace(line), " ") {
				t.Errorf("mezu %s: %d columns of %d: %s", command, terminal.Wide(line), width, line)
			}
		}
	}
}
