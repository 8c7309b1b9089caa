package manual

import (
	"fmt"
	"strings"
)

// notice stands in each page.
const notice = "<!-- make reference writes this from the commands' help: change that. -->\n"

// Markdown gives the pages of a program by the names of their files: its own, which lists all
// commands, and one for each command below it.
func Markdown(program Command, topics []Topic) map[string]string {
	out := map[string]string{}
	var index strings.Builder
	fmt.Fprintf(&index, "# %s\n\n%s\n%s.\n\n", program.Name, notice, sentence(program.Usage))
	fmt.Fprintf(&index, "```\n%s COMMAND [ARGUMENTS] [FLAGS]\n```\n\nFlags may stand before or after arguments, up to `--`.\n\n## Commands\n\n", program.Name)
	for _, c := range program.Commands {
		fmt.Fprintf(&index, "- [%s](%s.md): %s\n", c.Name, page(c.Name), inline(c.Usage))
	}
	index.WriteString("\n## Flags of all commands\n\n" + flagList(program.Flags))
	for _, t := range topics {
		fmt.Fprintf(&index, "\n## %s\n\n```\n%s```\n", t.Title, t.Text)
	}
	out[page(program.Name)+".md"] = index.String()
	for _, c := range program.Commands {
		var b strings.Builder
		fmt.Fprintf(&b, "# %s\n\n%s\n", c.Name, notice)
		for i, s := range c.all() {
			if i > 0 {
				fmt.Fprintf(&b, "\n## %s\n\n", s.Name)
			}
			b.WriteString(section(s))
		}
		fmt.Fprintf(&b, "\n[Flags of all commands](%s.md#flags-of-all-commands)\n", page(program.Name))
		out[page(c.Name)+".md"] = b.String()
	}
	return out
}

// MarkdownOfText gives the page of a program from what its --help prints.
func MarkdownOfText(help string, topics []Topic) string {
	first, _, _ := strings.Cut(help, "\n")
	name, _, _ := strings.Cut(first, " - ")
	out := fmt.Sprintf("# %s\n\n%s\n```\n%s```\n", name, notice, help)
	for _, t := range topics {
		out += fmt.Sprintf("\n## %s\n\n```\n%s```\n", t.Title, t.Text)
	}
	return out
}

// section is what a page says of one command.
func section(c Command) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s.\n\n```\n%s\n```\n", inline(c.Usage), c.synopsis())
	if len(c.Aliases) > 0 {
		fmt.Fprintf(&b, "\nAlso `%s`.\n", strings.Join(c.Aliases, "`, `"))
	}
	for _, p := range paragraphs(c.Description) {
		if p.verbatim {
			fmt.Fprintf(&b, "\n```\n%s\n```\n", p.text)
			continue
		}
		fmt.Fprintf(&b, "\n%s\n", inline(p.text))
	}
	if len(c.Commands) > 0 {
		b.WriteString("\n")
		for _, s := range c.Commands {
			fmt.Fprintf(&b, "- [%s](#%s): %s\n", s.Name, strings.ReplaceAll(s.Name, " ", "-"), inline(s.Usage))
		}
	}
	if len(c.Flags) > 0 {
		b.WriteString("\n" + flagList(c.Flags))
	}
	if c.Example != "" {
		fmt.Fprintf(&b, "\nExample:\n\n```\n%s\n```\n", c.Example)
	}
	return b.String()
}

func flagList(flags []Flag) string {
	var b strings.Builder
	for _, f := range flags {
		names := strings.ReplaceAll(f.Names, ", -", "`, `-")
		fmt.Fprintf(&b, "- `%s`: %s\n", names, inline(f.Usage))
	}
	return b.String()
}

// inline is text in which nothing is Markdown.
func inline(text string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "_", `\_`, "<", `\<`, ">", `\>`, "[", `\[`, "]", `\]`, "`", "\\`", "|", `\|`, "#", `\#`).Replace(text)
}

// sentence begins with a capital letter.
func sentence(text string) string { return strings.ToUpper(text[:1]) + inline(text[1:]) }
