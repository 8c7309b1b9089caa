package layout_test

import (
	"fmt"
	"go/ast"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// command is a command of a program, as docs/reference has it.
type command struct {
	flags map[string]bool // whether it takes a value
	below bool            // whether other commands begin with its name
	alone bool            // whether it does something without one of these
	most  int             // arguments; many if it is repeated
}

// many is more arguments than a line of a page has.
const many = 1 << 10

// reference is every command of our programs by its path. Tests keep docs/reference as the
// programs have it.
type reference map[string]*command

func (r reference) at(path string) *command {
	if r[path] == nil {
		r[path] = &command{flags: map[string]bool{}}
		if above, _, nested := cutLast(path, " "); nested {
			r.at(above).below = true
		}
	}
	return r[path]
}

var (
	headline  = regexp.MustCompile("(?m)^#+ (?:Flags of )?(mezu.*|all commands|warpgate)\n")
	synopsis  = regexp.MustCompile(`(?m)^ *((?:mezu|mezusphere|warpgate)(?: [a-z][a-z-]*)*)((?: COMMAND)?)((?: [^ \n]+)*)(?:\n      ( *-.*))?$`)
	also      = regexp.MustCompile("(?m)^Also `(.*)`\\.$")
	flagInRow = regexp.MustCompile("(?:^- `|^   |, `?)(--?[A-Za-z][A-Za-z0-9-]*)(?: ([^`, -][^`]*?))?(?:`|  |,|$)")
)

// readReference reads the pages: those of mezu have a section a command, with its flags in a list;
// those of the others are what their help prints.
func readReference(t *testing.T) reference {
	t.Helper()
	pages, err := filepath.Glob(root + "/docs/reference/*.md")
	if err != nil {
		t.Fatal(err)
	}
	r := reference{}
	for _, page := range pages {
		data, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		text := string(data)
		heads := headline.FindAllStringSubmatchIndex(text, -1)
		for i, at := range heads {
			end := len(text)
			if i+1 < len(heads) {
				end = heads[i+1][0]
			}
			r.section(strings.Replace(text[at[2]:at[3]], "all commands", "mezu", 1), text[at[1]:end])
		}
	}
	for _, role := range []string{"control", "edge", "all"} { // whose flags check takes
		r["mezusphere check "+role] = r["mezusphere "+role]
	}
	if len(r) < 100 {
		t.Fatalf("found %d commands only", len(r))
	}
	return r
}

// section reads what is below a headline.
func (r reference) section(name, text string) {
	own := r.at(name)
	text, _, _ = strings.Cut(text, "\nExample:\n")
	for line := range strings.Lines(text) {
		if _, rows, ok := strings.Cut(line, "- `-"); ok { // in Markdown what it does follows a colon
			rows, _, _ = strings.Cut(rows, "`: ")
			line = "- `-" + rows + "`\n"
		} else if !strings.HasPrefix(line, "   ") {
			continue
		}
		for _, m := range flagInRow.FindAllStringSubmatch(strings.TrimRight(line, "\n"), -1) {
			own.flags[m[1]] = m[2] != ""
		}
	}
	for _, m := range synopsis.FindAllStringSubmatch(text, -1) {
		if name == "mezu" || m[1] != name && !strings.HasPrefix(m[1], name+" ") { // mezu alone has commands, and no arguments
			continue
		}
		c := r.at(m[1])
		if c != own {
			for f, takes := range own.flags { // commands that one page explains
				c.flags[f] = takes
			}
		}
		n := 0
		for words := strings.Fields(m[3]); len(words) > 0; words = words[1:] {
			switch word := words[0]; {
			case word == "[FLAGS]":
			case strings.HasPrefix(strings.TrimPrefix(word, "["), "-"):
				if !strings.HasSuffix(word, "]") && len(words) > 1 {
					words = words[1:] // its value
				}
			case strings.Contains(word, "…"):
				n = many
			default:
				n++
			}
		}
		c.most = max(c.most, n)
		c.alone = c.alone || m[2] == "" || n > 0
	}
	if m := also.FindStringSubmatch(text); m != nil {
		above, _, _ := cutLast(name, " ")
		for alias := range strings.SplitSeq(m[1], "`, `") {
			r[above+" "+alias] = own
		}
	}
}

// judge says what is wrong with a command line; "" if nothing is. In a sentence words may follow that
// are no arguments.
func (r reference) judge(words []string, sentence bool) string {
	at, args := words[0], 0
	for i := 1; i < len(words); i++ {
		word := strings.Trim(words[i], "[]")
		c := r[at]
		switch {
		case word == "--" || word == "COMMAND" || word == "%s" && c.below && !c.alone:
			return ""
		case word == "" || word == "…" || word == "-":
		case strings.HasPrefix(word, "-"):
			flag, _, joined := strings.Cut(word, "=")
			takes, ok := r.flag(at, flag)
			if !ok {
				return fmt.Sprintf("%s has no flag %s", at, flag)
			}
			if takes && !joined {
				i++
			}
		case args == 0 && r[at+" "+word] != nil:
			at += " " + word
		case args == 0 && c.below && strings.Contains(word, "|"):
			for one := range strings.SplitSeq(word, "|") {
				if r[at+" "+one] == nil {
					return fmt.Sprintf("there is no %s %s", at, one)
				}
			}
			return ""
		default:
			if args++; args > c.most && sentence && (!c.below || c.alone) {
				return ""
			}
			if args > c.most {
				return fmt.Sprintf("%s takes %d arguments, and not %s", at, c.most, word)
			}
		}
	}
	return ""
}

// flag finds a flag of a command, or of one that it is below.
func (r reference) flag(at, flag string) (takes, ok bool) {
	if flag == "--help" || flag == "-h" {
		return false, true
	}
	for {
		if takes, ok = r[at].flags[flag]; ok {
			return takes, true
		}
		above, _, nested := cutLast(at, " ")
		if !nested {
			return false, false
		}
		if r[above] == nil {
			return false, false
		}
		at = above
	}
}

// programs are ours.
var programs = []string{"mezu", "mezusphere", "warpgate"}

// before are words that another command begins behind.
var before = []string{"$", "sudo", "exec", "then", "do", "time", "!", "-", "run:", "&"}

// commandLines are the lines of our programs in what a shell reads.
func commandLines(text string) (out [][]string) {
	for _, part := range shellCommands(text) {
		for len(part) > 0 && (slices.Contains(before, part[0]) || strings.Contains(part[0], "=") && !strings.HasPrefix(part[0], "-")) {
			part = part[1:]
		}
		if len(part) > 2 && part[0] == "go" && part[1] == "run" {
			part = part[2:]
		}
		if len(part) == 0 {
			continue
		}
		if name := path.Base(part[0]); slices.Contains(programs, name) && (len(part) > 1 || name == part[0]) {
			out = append(out, append([]string{name}, part[1:]...))
		}
	}
	return out
}

// shellCommands splits what a shell reads into commands and these into words. Of quotes it keeps what is in them;
// commands in $( ) are parts of their own.
func shellCommands(text string) (out [][]string) {
	var part []string
	word, inWord, quote := "", false, rune(0)
	end := func() {
		if inWord {
			part = append(part, word)
		}
		word, inWord = "", false
	}
	endPart := func() {
		end()
		if len(part) > 0 {
			out = append(out, part)
		}
		part = nil
	}
	runes := []rune(strings.ReplaceAll(text, "\\\n", " "))
	for i := 0; i < len(runes); i++ {
		c := runes[i]
		next := rune(0)
		if i+1 < len(runes) {
			next = runes[i+1]
		}
		switch {
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
			word += string(c)
		case c == '\'' || c == '"':
			quote, inWord = c, true
		case c == '#' && !inWord:
			for i+1 < len(runes) && runes[i+1] != '\n' {
				i++
			}
		case c == '$' && next == '(':
			endPart()
			i++
		case c == '|' && inWord && next != ' ' && next != '|': // one or the other
			word += string(c)
		case strings.ContainsRune("\n|;&()", c):
			endPart()
		case c == '<' || c == '>':
			endPart()
			part = []string{"file"} // what follows names one
		case c == ' ' || c == '\t':
			end()
		default:
			word, inWord = word+string(c), true
		}
	}
	endPart()
	return out
}

var (
	codeFence  = regexp.MustCompile("(?ms)^ *```([a-z]*)\n(.*?)^ *```$")
	inlineCode = regexp.MustCompile("`([^`\n]+)`")
	typed      = regexp.MustCompile(`(?m)^ *\$ .*`)
)

// elsewhere are flags in running text that are curl's and install.sh's.
var elsewhere = []string{"--cacert", "--older", "--unsigned"}

// TestCommandLines judges each command line of a page, in a block or in running text, by the commands
// and flags that there are; and each flag that is named alone.
func TestCommandLines(t *testing.T) {
	r := readReference(t)
	pages, err := filepath.Glob(root + "/docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{"--help": true, "-h": true}
	for _, c := range r {
		for f := range c.flags {
			known[f] = true
		}
	}
	lines := 0
	for _, page := range append(pages, root+"/README.md", root+"/CONTRIBUTING.md", root+"/SECURITY.md") {
		data, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		judge := func(text string, sentence bool) {
			for _, words := range commandLines(text) {
				lines++
				if wrong := r.judge(words, sentence); wrong != "" {
					t.Errorf("%s: %s\n\t%s", strings.TrimPrefix(page, root+"/"), wrong, strings.Join(words, " "))
				}
			}
		}
		for _, m := range codeFence.FindAllStringSubmatch(string(data), -1) {
			if kind := m[1]; kind == "" || kind == "text" || kind == "console" {
				m[2] = strings.Join(typed.FindAllString(m[2], -1), "\n")
			}
			judge(m[2], false)
		}
		for _, m := range inlineCode.FindAllStringSubmatch(codeFence.ReplaceAllString(string(data), ""), -1) {
			judge(m[1], true)
			if flag := regexp.MustCompile(`^--[a-z][a-z0-9-]*`).FindString(m[1]); flag != "" && !known[flag] && !slices.Contains(elsewhere, flag) {
				t.Errorf("%s: no program has a flag %s", strings.TrimPrefix(page, root+"/"), flag)
			}
		}
	}
	if lines < 200 {
		t.Errorf("found %d command lines only", lines)
	}
}

// TestCommandLines_Wrong: what the test above is for.
func TestCommandLines_Wrong(t *testing.T) {
	r := readReference(t)
	for line, want := range map[string]string{
		"mezu tunnel 5173 --detached":                         "mezu tunnel has no flag --detached",
		"X=1 sudo mezu tunnels show shop/dev -o json | jq .":  "",
		"mezu tunnel show a b":                                "mezu tunnel show takes 1 arguments, and not b",
		"A=$(mezu daemon begin)":                              "mezu daemon takes 0 arguments, and not begin",
		"mezu edgy delete NAME":                               "mezu takes 0 arguments, and not edgy",
		"mezu validate|differ -f FILE":                        "there is no mezu differ",
		"mezu -p shop routes create api --auth required":      "",
		"mezu tunnel 3000 --exec -- npm test --unknown":       "",
		"mezu orgs create acme --display-name 'Acme Ltd' # x": "",
		"mezusphere keys rotate --what seal":                  "",
		"mezusphere edge --domain x":                          "mezusphere edge has no flag --domain",
		"mezusphere backup a --json":                          "mezusphere backup has no flag --json",
		"go run ./cmd/warpgate --upstreams 8080":              "warpgate has no flag --upstreams",
		"warpgate install --user --api https://x < key":       "",
	} {
		got := commandLines(line)
		if len(got) != 1 {
			t.Errorf("%s: found %q", line, got)
			continue
		}
		if wrong := r.judge(got[0], false); wrong != want {
			t.Errorf("%s: %q, not %q", line, wrong, want)
		}
	}
}

// inSentence is how a command line begins within a hint.
var inSentence = regexp.MustCompile(`(?:^|[:;,(] ?|\b(?:as|by|has|or|to|until|with) )((?:mezu|mezusphere|warpgate) [^;,)]*)`)

// TestHints judges the command lines in what the programs propose or say.
func TestHints(t *testing.T) {
	r := readReference(t)
	lines := 0
	for _, p := range load(t) {
		look := func(e ast.Expr) {
			for lit, text := range literals(e) {
				for _, m := range inSentence.FindAllStringSubmatch(text, -1) {
					for _, words := range commandLines(m[1]) {
						lines++
						if wrong := r.judge(words, true); wrong != "" {
							t.Errorf("%s: %s\n\t%s", p.at(lit), wrong, strings.Join(words, " "))
						}
					}
				}
			}
		}
		for _, f := range p.code() {
			ast.Inspect(f, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.KeyValueExpr:
					if k, ok := n.Key.(*ast.Ident); ok && (k.Name == "Hint" || k.Name == "Fixes") {
						look(n.Value)
					}
				case *ast.CallExpr:
					if slices.Contains([]string{"Sayf", "Signf", "Warnf", "Usagef"}, calledName(n)) {
						for _, e := range n.Args {
							look(e)
						}
					}
				case *ast.AssignStmt:
					if len(n.Lhs) == 1 && len(n.Rhs) == 1 && named(n.Lhs[0], "Hint") {
						look(n.Rhs[0])
					}
				}
				return true
			})
		}
	}
	if lines < 100 {
		t.Errorf("found %d command lines only", lines)
	}
}
