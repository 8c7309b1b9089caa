package process

import (
	"flag"
	"regexp"
	"strings"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/cli/exit"
)

// noFlag is how the error of a flag begins that is not there.
const noFlag = "there is no flag --"

// wrongFlag are the errors of the library of flags, each with what it says here.
func wrongFlag() []struct {
	of   *regexp.Regexp
	says string
} {
	return []struct {
		of   *regexp.Regexp
		says string
	}{
		{regexp.MustCompile(`(?s)^flag provided but not defined: --?(.*)$`), noFlag + "$1"},
		{regexp.MustCompile(`(?s)^flag needs an argument: --?(.*)$`), "--$1 needs a value"},
		{regexp.MustCompile(`(?s)^invalid boolean value (".*") for --?([a-z-]+): .*$`), "--$2 is true or false, not $1"},
		{regexp.MustCompile(`(?s)^invalid (?:boolean flag|value) .* for (?:flag )?--?([a-z-]+): (.*)$`), "--$1: $2"},
		{regexp.MustCompile(`(?s)^invalid boolean flag ([a-z-]+): .*$`), "--$1 is true or false"},
	}
}

// FlagError says in words of ours what package flag has found wrong with a command line of f. help is
// the command that shows the flags.
func FlagError(f *flag.FlagSet, err error, help string) *exit.UsageError {
	text := err.Error()
	for _, w := range wrongFlag() {
		if w.of.MatchString(text) {
			text = w.of.ReplaceAllString(text, w.says)
			break
		}
	}
	e := exit.Usagef("%s", strings.TrimSpace(text))
	e.Hint = help
	if word, unknown := strings.CutPrefix(e.Detail, noFlag); unknown {
		var names []string
		f.VisitAll(func(f *flag.Flag) { names = append(names, f.Name) })
		e.Hint = Meant("--", word, names, help)
	}
	return e
}

// Meant is the hint that offers, for a word that is not there, the name that was most likely meant,
// behind a prefix; help if no name is like it.
func Meant(prefix, word string, names []string, help string) string {
	if near := mezu.Nearest(word, names); near != "" {
		return "did you mean: " + prefix + near
	}
	return help
}
