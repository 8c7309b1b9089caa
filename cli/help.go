package cli

import (
	"cmp"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/mezusphere/mezu/cli/argv"
	"github.com/mezusphere/mezu/cli/dev"
	"github.com/mezusphere/mezu/cli/terminal"
)

// wantsPage reports whether a line asks for help, or names a command that does nothing itself.
func wantsPage(line *argv.Line) bool {
	c := line.Command()
	return line.WantsHelp() || c.Action == nil && len(c.Subcommands) > 0
}

// page is the help of the last command of a path, for lines of that width.
func page(path []*cli.Command, width int) string {
	c := path[len(path)-1]
	names := make([]string, len(path))
	for i, p := range path {
		names[i] = p.Name
	}
	p := &pageText{width: width}
	name := strings.Join(names, " ")
	p.text(name + " - " + c.Usage)
	usage := name
	switch {
	case len(path) == 1:
		usage += " COMMAND [ARGUMENTS] [FLAGS]"
	default:
		if len(c.Subcommands) > 0 {
			usage += " COMMAND"
		}
		usage = strings.TrimSpace(usage+" "+c.ArgsUsage) + " [FLAGS]"
	}
	p.text("\nUsage:\n   " + usage)
	for part := range strings.SplitSeq(strings.TrimSpace(c.Description), "\n\n") {
		if part != "" {
			p.text("")
			p.text(part)
		}
	}
	if len(path) == 1 {
		p.commandsByCategory(c.Subcommands)
		p.flags("Flags of all commands", c.Flags)
		for _, note := range rootNotes() {
			p.text("")
			p.text(note)
		}
		return p.String()
	}
	if len(c.Aliases) > 0 {
		p.text("")
		p.text("Also: " + strings.Join(c.Aliases, ", ") + ".")
	}
	p.section("Commands", terminal.Rows(rows(c.Subcommands, true), width))
	p.flags(ownFlags, c.Flags)
	if c.UsageText != "" {
		p.section("Example", []string{"   " + c.UsageText}) // in one piece, to be copied
	}
	p.text("")
	p.text("Flags of all commands, such as -o, --org, -p, -e and --api: mezu --help")
	return p.String()
}

// rootNotes end the page of the program.
func rootNotes() []string {
	return []string{
		`Flags may stand before or after arguments, up to "--". Piped, tables are separated by tabs and have no head.`,
		"Exit codes: 0 done, 1 failed, 2 usage, 3 not logged in or not allowed, 4 not found, 5 conflict, 6 unreachable, " +
			"7 timed out, 8 differs, 130 interrupted. mezu help exit-codes, environment and scripting say more.",
		"Example:\n   mezu dev 8080",
	}
}

// pageText is a page as it is written.
type pageText struct {
	strings.Builder
	width int
}

// text writes a paragraph.
func (p *pageText) text(text string) { p.WriteString(terminal.Page(text, p.width) + "\n") }

// section writes lines below a title; nothing if there are none.
func (p *pageText) section(title string, lines []string) {
	if len(lines) > 0 {
		p.WriteString("\n" + title + ":\n" + strings.Join(lines, "\n") + "\n")
	}
}

// categories are the headings under which the page of the program lists commands, in this order.
// Others follow.
func categories() []string {
	return []string{dev.Category, "login", "configuration", "declarative file", "operation", "program"}
}

func (p *pageText) commandsByCategory(commands []*cli.Command) {
	in, order := map[string][]*cli.Command{}, categories()
	for _, c := range commands {
		if in[c.Category] = append(in[c.Category], c); !slices.Contains(order, c.Category) {
			order = append(order, c.Category)
		}
	}
	for _, category := range order {
		p.section(category, terminal.Rows(rows(in[category], false), p.width))
	}
}

// rows are commands as a page lists them.
func rows(commands []*cli.Command, aliases bool) [][2]string {
	var out [][2]string
	for _, c := range commands {
		if c.Hidden {
			continue
		}
		name := c.Name
		if aliases {
			name = strings.Join(c.Names(), ", ")
		}
		out = append(out, [2]string{name, c.Usage})
	}
	return out
}

// ownFlags is the title of the flags that a command has beside those of all.
const ownFlags = "Flags"

// flags lists the flags that are shown, those of a category below its title.
func (p *pageText) flags(title string, flags []cli.Flag) {
	in, order := map[string][][2]string{}, []string{""}
	for _, f := range flags {
		if shown, ok := f.(cli.VisibleFlag); ok && !shown.IsVisible() || f.Names()[0] == "help" && title == ownFlags {
			continue
		}
		category := ""
		if of, ok := f.(cli.CategorizableFlag); ok {
			category = of.GetCategory()
		}
		if in[category] = append(in[category], flagRow(f)); !slices.Contains(order, category) {
			order = append(order, category)
		}
	}
	for _, category := range order {
		p.section(cmp.Or(category, title), terminal.Rows(in[category], p.width))
	}
}

// flagRow is a flag as a page lists it: "-o, --output FORMAT", and what it does.
func flagRow(f cli.Flag) [2]string {
	_, usage, _ := strings.Cut(f.String(), "\t")
	var short, long []string
	for _, name := range f.Names() {
		if len(name) == 1 {
			short = append(short, "-"+name)
		} else {
			long = append(long, "--"+name)
		}
	}
	names := strings.Join(append(short, long...), ", ")
	if doc, ok := f.(cli.DocGenerationFlag); ok && doc.TakesValue() {
		names += " " + placeholder(doc.GetUsage())
	}
	return [2]string{names, strings.TrimSpace(strings.ReplaceAll(usage, `"`, ""))}
}

// placeholder is what stands for a value. Of one that is this or that, both.
func placeholder(usage string) string {
	_, rest, _ := strings.Cut(usage, "`")
	name, _, marked := strings.Cut(rest, "`")
	if !marked {
		return "VALUE"
	}
	if listed := listedValues(usage); strings.ToLower(name) == name && len(listed) > 1 {
		return strings.Join(listed, "|")
	}
	return name
}
