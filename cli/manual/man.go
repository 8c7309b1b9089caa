package manual

import (
	"fmt"
	"regexp"
	"strings"
)

// edition is the date of the pages' form, which man(7) asks for. What they say is of the version
// that they came with.
const edition = "2026-11-29"

// Man gives the pages of a program for section 1 by the names of their files: its own, and one
// for each command below it, with the commands of that in it.
func Man(program Command, topics []Topic) map[string]string {
	out := map[string]string{}
	p := newManPage(page(program.Name), program.Usage)
	p.head("SYNOPSIS")
	p.line(bold(program.Name) + ` COMMAND [ARGUMENTS] [FLAGS]`)
	p.head("DESCRIPTION")
	p.text(`Flags may stand before or after arguments, up to "--".`)
	p.head("COMMANDS")
	for _, c := range program.Commands {
		p.item(bold(c.Name), c.Usage)
	}
	p.head("FLAGS OF ALL COMMANDS")
	p.flags(program.Flags)
	for _, t := range topics {
		p.head(strings.ToUpper(t.Title))
		p.paragraphs(t.Text)
	}
	p.head("SEE ALSO")
	var also []string
	for _, c := range program.Commands {
		also = append(also, bold(page(c.Name))+"(1)")
	}
	p.line(strings.Join(also, ",\n"))
	out[page(program.Name)+".1"] = p.String()
	for _, c := range program.Commands {
		out[page(c.Name)+".1"] = manOf(program, c)
	}
	return out
}

// manOf is the page of a command.
func manOf(program, c Command) string {
	p := newManPage(page(c.Name), c.Usage)
	p.head("SYNOPSIS")
	var lines, examples []string
	for _, s := range c.all() {
		if s.runs() {
			lines = append(lines, bold(s.Name)+roff(strings.TrimPrefix(s.synopsis(), s.Name))+"\n")
		}
		if s.Example != "" {
			examples = append(examples, s.Example)
		}
	}
	p.WriteString(strings.Join(lines, ".br\n"))
	if c.Description != "" || len(c.Aliases) > 0 {
		p.head("DESCRIPTION")
		p.paragraphs(c.Description)
		if len(c.Aliases) > 0 {
			if c.Description != "" {
				p.line(".PP")
			}
			p.text("Also " + strings.Join(c.Aliases, ", ") + ".")
		}
	}
	if len(c.Flags) > 0 {
		p.head("FLAGS")
		p.flags(c.Flags)
	}
	if len(c.Commands) > 0 {
		p.head("COMMANDS")
		for _, s := range c.all()[1:] {
			p.line(`.SS "` + roff(s.Name) + `"`)
			p.text(s.Usage + ".")
			if s.Description != "" {
				p.line(".PP")
				p.paragraphs(s.Description)
			}
			p.flags(s.Flags)
		}
	}
	p.head("EXAMPLES")
	p.verbatim(strings.Join(examples, "\n\n"))
	p.head("SEE ALSO")
	p.line(bold(program.Name) + "(1), which has the flags of all commands")
	return p.String()
}

// title is a line of a help text that begins a section.
var title = regexp.MustCompile(`(?m)^([A-Z][A-Za-z ]*):$`)

// ManOfText gives the page of a program from what its --help prints: "name - what it is", then
// sections that begin with a title, and paragraphs.
func ManOfText(help string, topics []Topic) string {
	first, rest, _ := strings.Cut(help, "\n")
	name, usage, _ := strings.Cut(first, " - ")
	p := newManPage(name, usage)
	described := false
	for _, part := range paragraphs(rest) {
		if part.verbatim {
			// Sections stand below one another, each with its title.
			for section := range strings.SplitSeq(part.text, "\n\n") {
				head, body, _ := strings.Cut(section, "\n")
				if m := title.FindStringSubmatch(head); m != nil {
					p.head(strings.ToUpper(strings.Replace(m[1], "Usage", "Synopsis", 1)))
					p.verbatim(body)
					continue
				}
				p.line(".PP")
				p.verbatim(section)
			}
			continue
		}
		if !described {
			p.head("DESCRIPTION")
			described = true
		} else {
			p.line(".PP")
		}
		p.text(part.text)
	}
	for _, t := range topics {
		p.head(strings.ToUpper(t.Title))
		p.paragraphs(t.Text)
	}
	return p.String()
}

// manPage is a page as it is written.
type manPage struct{ strings.Builder }

func newManPage(name, usage string) *manPage {
	p := &manPage{}
	p.line(fmt.Sprintf(`.TH "%s" "1" "%s" "Mezusphere" "Mezusphere"`, strings.ToUpper(roff(name)), edition))
	p.head("NAME")
	p.text(name + " - " + usage)
	return p
}

// line writes a line that is roff already.
func (p *manPage) line(s string) { p.WriteString(s + "\n") }

func (p *manPage) head(s string) { p.line(`.SH "` + roff(s) + `"`) }

// text writes words, in lines that are not too long for an editor.
func (p *manPage) text(s string) {
	line := ""
	flush := func() {
		if line == "" {
			return
		}
		// A line that begins with one of these would be a request.
		if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") || strings.HasPrefix(line, `\(aq`) {
			line = `\&` + line
		}
		p.line(line)
		line = ""
	}
	for _, word := range strings.Fields(s) {
		word = roff(word)
		if line != "" && len(line)+1+len(word) > manWidth {
			flush()
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	flush()
}

// manWidth is how long a line of a page's source may be.
const manWidth = 78

// paragraphs writes a text with parts that are shown as they stand.
func (p *manPage) paragraphs(s string) {
	for i, part := range paragraphs(s) {
		if i > 0 {
			p.line(".PP")
		}
		if part.verbatim {
			p.verbatim(part.text)
			continue
		}
		p.text(part.text)
	}
}

// verbatim writes lines as they stand.
func (p *manPage) verbatim(s string) {
	p.line(".nf")
	for line := range strings.SplitSeq(s, "\n") {
		line = roff(strings.TrimPrefix(strings.TrimRight(line, " "), "   "))
		if strings.HasPrefix(line, ".") || strings.HasPrefix(line, `\(aq`) {
			line = `\&` + line
		}
		p.line(line)
	}
	p.line(".fi")
}

func (p *manPage) item(head, usage string) {
	p.line(".TP")
	p.line(head)
	p.text(usage)
}

func (p *manPage) flags(flags []Flag) {
	for _, f := range flags {
		usage := f.Usage
		if usage == "" {
			usage = "See above."
		}
		p.item(bold(f.Names), usage)
	}
}

func bold(s string) string { return `\fB` + roff(s) + `\fR` }

// roff is text in which nothing is a request, in ASCII.
func roff(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", `\(ga`, "^", `\(ha`, "~", `\(ti`, `"`, `\(dq`).Replace(s)
	var b strings.Builder
	for _, r := range s {
		if r < 0x80 {
			b.WriteRune(r)
			continue
		}
		fmt.Fprintf(&b, `\[u%04X]`, r)
	}
	return b.String()
}
